"""How well the encoder ranks pools and spans of documents it does not learn from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from kartoteka.ragged import pick
from kartoteka.ranking.spans import Words, span_precisions
from kartoteka.training.gather import dealt, gather

if TYPE_CHECKING:
    from kartoteka.ranking.data import PairArrays
    from kartoteka.ranking.module import RankerModule
    from kartoteka.training.task import Part, Share

#: Phrases that count, and the neighbours that the paper asks.
TOP = 5
NEAR = 5
#: What is measured, in order.
FIGURES = ("f1_at_5", "f1_at_5_of_5_neighbours", "recall_at_10", "pool_recall")


def validate(arrays: PairArrays, module: RankerModule, share: Share) -> dict[str, Part]:
    """The means over the validation documents of what is learned, and `quality`, by which weights are chosen.

    Of the vectors each of `figures_of`; of the scores of spans `span_ap`, over the documents in which one is right.
    `quality`: the mean of `f1_at_5` and `span_ap`, or the one of them that is learned.
    """
    rows = arrays.validation
    mine, parts, chosen = share.of(rows), {}, []
    documents = encoded(arrays, module, share)
    if module.settings.ranking_weight:
        found = figures_of(arrays, module, share, documents)
        parts |= {name: (float(total), float(len(found))) for name, total in zip(FIGURES, found.sum(0), strict=True)}
        chosen.append(parts["f1_at_5"][0] / len(rows))
    if module.settings.span_weight:
        words = arrays.words.of(rows)
        right = np.concatenate([[0], np.cumsum((words.labels > 0).any(axis=1))])
        with_spans = np.diff(right[words.offsets]) > 0
        parts["span_ap"] = (float(documents[:, -1].double().sum()), float(share.of(with_spans).sum()))
        chosen.append(parts["span_ap"][0] / max(int(with_spans.sum()), 1))
    # Of each its share of the whole mean: so the sum over the workers is the mean of the two means.
    parts["quality"] = (float(np.mean(chosen)), len(mine) / len(rows))
    return parts


@torch.no_grad()
def encoded(arrays: PairArrays, module: RankerModule, share: Share) -> torch.Tensor:
    """The validation documents of this worker, float32 [n, d]: unit vectors.

    Where spans are learned they have one column more: the average precision of the document's, 0 where none is right.
    """
    mine, device = share.of(arrays.validation), next(module.parameters()).device
    words = None
    if module.settings.span_weight:
        words = Words(*(torch.from_numpy(values).to(device) for values in arrays.words.of(mine)))
    return _encode(module, arrays.tokens, arrays.token_offsets, mine, device, words)


@torch.no_grad()
def figures_of(arrays: PairArrays, module: RankerModule, share: Share, documents: torch.Tensor) -> np.ndarray:
    """`FIGURES` of this worker's validation `documents` (see `encoded`), float64 [n, 4]; the pool is ranked by cosine.

    F1@5 is over all neighbours asked, and over the first five.

    As the convention `mean-f1`: the mean over documents of the F1 of a document, precision over the predictions there
    are, but on the numbers of the archive's phrases in place of stems; what is the same phrase there is so here, and
    references of more words than the archive keeps are left out. `pool_recall`: the share of references in the pool.
    """
    rows = arrays.validation
    phrases = np.unique(pick(arrays.pool, arrays.pool_offsets, rows)[0])
    device = next(module.parameters()).device
    vectors = dealt(gather(_encode(module, arrays.phrase_tokens, arrays.phrase_offsets, share.of(phrases), device)))
    mine = share.of(rows)
    found = np.zeros((len(mine), len(FIGURES)))
    units = documents[:, : module.dimension]
    for number, (row, document) in enumerate(zip(mine.tolist(), units, strict=True)):
        bounds = arrays.pool_offsets[row : row + 2]
        pool, rank = arrays.pool[bounds[0] : bounds[1]], arrays.rank[bounds[0] : bounds[1]]
        wanted = arrays.positives[arrays.positive_offsets[row] : arrays.positive_offsets[row + 1]]
        places = torch.from_numpy(np.searchsorted(phrases, pool)).to(device)
        cosine = (vectors[places] @ document).float().cpu().numpy()
        order = np.lexsort((pool, -cosine))
        right = np.isin(pool[order], wanted)
        near = right[rank[order] <= NEAR]
        found[number] = (
            f1(right[:TOP], len(wanted)), f1(near[:TOP], len(wanted)),
            right[:10].sum() / len(wanted), right.sum() / len(wanted),
        )  # fmt: skip
    return found


def f1(right: np.ndarray, wanted: int) -> float:
    """F1 of the predictions that are `right` bool [k] against `wanted` references: 2 hits / (predictions + wanted)."""
    return 2 * float(right.sum()) / (len(right) + wanted) if wanted else 0.0


def _encode(
    module: RankerModule,
    tokens: np.ndarray,
    offsets: np.ndarray,
    rows: np.ndarray,
    device: torch.device,
    words: Words | None = None,
) -> torch.Tensor:
    ids, bounds = (torch.from_numpy(values).to(device) for values in pick(tokens, offsets, rows))
    return module.encode(ids, bounds, words, span_precisions)
