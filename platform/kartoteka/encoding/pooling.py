"""From the token states of texts to one vector each. Definitions: sentence-transformers' Pooling and Dense modules."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

Reduce = Callable[[Tensor, list[int], str], Tensor]


def pool(states: Tensor, lengths: Sequence[int], modes: Sequence[str]) -> Tensor:
    """Pool packed token states.

    `states` [tokens, d], texts one after the other; `lengths` of each text, none of them 0; `modes` among mean, cls,
    max, mean_sqrt_len_tokens, joined in the order given. Returns float32 [texts, d * modes]: sums are taken in fp32.
    """
    # A GPU wants one call for all texts, a CPU is five times faster text by text.
    reduce = reduce_at_once if states.is_cuda else reduce_one_by_one
    vectors = [_POOL[mode](states, list(lengths), reduce) for mode in modes]
    return vectors[0] if len(vectors) == 1 else torch.cat(vectors, dim=1)


def reduce_one_by_one(states: Tensor, lengths: list[int], how: str) -> Tensor:
    """`how` (mean, sum or max) over the tokens of each text: float32 [texts, d]."""
    pieces = torch.split(states, lengths)
    if how == "max":
        return torch.stack([piece.amax(0) for piece in pieces]).float()
    return torch.stack([getattr(piece, how)(0, dtype=torch.float32) for piece in pieces])


def reduce_at_once(states: Tensor, lengths: list[int], how: str) -> Tensor:
    """The same in one call; unlike a scatter, with the same bits every time."""
    sizes = torch.tensor(lengths, device=states.device)
    return torch.segment_reduce(states.float(), how, lengths=sizes, axis=0)


def _first(states: Tensor, lengths: list[int], _: Reduce) -> Tensor:
    starts = torch.tensor([0, *lengths[:-1]], device=states.device).cumsum(0)
    return states[starts].float()


def _sum_by_root(states: Tensor, lengths: list[int], reduce: Reduce) -> Tensor:
    return reduce(states, lengths, "sum") / torch.tensor(lengths, device=states.device).sqrt()[:, None]


_POOL = {
    "mean": lambda states, lengths, reduce: reduce(states, lengths, "mean"),
    "max": lambda states, lengths, reduce: reduce(states, lengths, "max"),
    "cls": _first,
    "mean_sqrt_len_tokens": _sum_by_root,
}


def normalise(vectors: Tensor) -> Tensor:
    """Rows of `vectors` at unit length; a row of zeros stays one."""
    return torch.nn.functional.normalize(vectors, dim=1)
