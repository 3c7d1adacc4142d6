"""Many texts through an encoder in bounded memory: what a contrastive batch of a thousand needs.

GradCache (Gao et al. 2021) encodes in micro-batches without a graph, takes the gradient of the loss at the vectors, and
encodes again with one. Two backward passes of a module in one step are more than ZeRO-2 and 3 can follow. The same
arithmetic in one graph with one backward is activation checkpointing around each micro-batch: same loss, gradient, time
and memory, under every ZeRO stage.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from kartoteka.encoding.batches import plan_batches
from kartoteka.training.gather import largest

#: (token ids int64 [b, width], lengths int64 [b], numbers int64 [b]) -> vectors [b, d]. What is behind a text's length
#: is padding; the numbers say which of the n texts these are, n itself being a made-up one.
Encode = Callable[[Tensor, Tensor, Tensor], Tensor]
_ALL = 1 << 30


def encode_texts(
    encode: Encode, ids: Tensor, offsets: Tensor, *, dimension: int, micro_tokens: int, kept_tokens: int = 0
) -> Tensor:
    """Vectors [n, `dimension`] of n texts, text i being `ids[offsets[i]:offsets[i + 1]]`, in one graph.

    Texts of like length share a micro-batch of at most `micro_tokens` tokens, padding included (a longer text is one by
    itself). The activations of micro-batches of up to `kept_tokens` tokens in all are kept, those of the others are
    computed again in backward; a single micro-batch is always kept. Memory: the activations of `kept_tokens` and of one
    micro-batch. A text without tokens has the vector 0.

    Every worker must call this equally often: they agree on the number of micro-batches, because a sharded module
    (ZeRO-3) fetches its weights together, and a worker with fewer runs empty ones.
    """
    lengths = (offsets[1:] - offsets[:-1]).cpu().numpy()
    batches = plan_batches(lengths, micro_tokens, padded=True)
    costs = np.cumsum([int(lengths[batch[0]]) * len(batch) for batch in batches])
    kept = int((costs <= kept_tokens).sum())
    if kept == len(batches) or len(batches) == 1:
        kept = _ALL
    count, kept = largest([len(batches), -kept], ids.device)
    vectors = []
    for number in range(count):
        batch = batches[number] if number < len(batches) else np.zeros(0, np.int64)
        made = _grid(ids, offsets, torch.from_numpy(batch).to(ids.device))
        if number < -kept or not torch.is_grad_enabled():
            vectors.append(encode(*made))
        else:
            vectors.append(checkpoint(encode, *made, use_reentrant=False))
    place = np.full(len(lengths), -1, np.int64)
    order = np.concatenate([np.zeros(0, np.int64), *batches])
    place[order] = np.arange(len(order))
    if not vectors:
        return torch.zeros(len(lengths), dimension, device=ids.device)
    # The vectors of empty micro-batches come last and are not asked for: they are in the graph, with gradient 0.
    found = torch.cat(vectors)
    if len(order) < len(lengths):
        place[place < 0] = len(found)
        found = torch.cat([found, found.new_zeros(1, found.shape[1])])
    return found[torch.from_numpy(place).to(ids.device)]


def _grid(ids: Tensor, offsets: Tensor, batch: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The texts numbered in `batch`: rows of a matrix as wide as the longest, filled up with 0; lengths; numbers.

    No text gives a made-up one of a single token.
    """
    if not len(batch):
        none = torch.zeros(1, dtype=torch.int64, device=ids.device)
        return none[None], none + 1, none + len(offsets) - 1
    starts, sizes = offsets[batch], offsets[batch + 1] - offsets[batch]
    columns = torch.arange(int(sizes.max()), device=ids.device)[None, :]
    real = columns < sizes[:, None]
    places = torch.where(real, starts[:, None] + columns, 0)
    return torch.where(real, ids[places].long(), 0), sizes, batch
