"""A worker's part of a global batch: its documents, its share of all candidates, and which of them are right."""

from __future__ import annotations

import numpy as np

from kartoteka.keyphrases.dense import VectorArrays
from kartoteka.ragged import pick
from kartoteka.ranking.data import PairArrays, WordArrays
from kartoteka.ranking.settings import RankerSettings
from kartoteka.training.task import Batch, Share


def collate(
    arrays: PairArrays, teacher: VectorArrays | None, rows: np.ndarray, share: Share, settings: RankerSettings
) -> Batch:
    """The part of worker `share` of the global batch made of the documents `rows` int64 [n] of `arrays`.

    Candidates are the distinct phrases of the whole batch, m of them by number: all positives, and of each document
    `settings.negatives` drawn from its pool. They are dealt to the workers by `Share.of`, like the documents.

    `ids` int32, `offsets` int64 [documents + candidates + 1]: tokens of the worker's documents, then of its candidates.
    `documents` int64 [1]: how many of these texts are documents. `positives` int64, `positive_offsets` int64
    [documents + 1]: their positives among all m candidates. `total` int64 [3]: n, m, and pairs of the global batch.
    `teacher` float32 [texts, d], or [0, 1] where nothing is distilled; `distil` float32 [1]: its weight at this step.
    Where runs of words are learned, `word_first`, `word_last` int16, `word_labels` int8 [words, L] and `word_offsets`
    int64 [texts + 1], see `spans.Words`; candidates have none. Where vectors are not learned there are no candidates.
    """
    right, right_offsets = np.zeros(0, np.int32), np.zeros(len(rows) + 1, np.int64)
    candidates = right
    if settings.ranking_weight:
        right, right_offsets = pick(arrays.positives, arrays.positive_offsets, rows)
        candidates = np.unique(np.concatenate([right, draw_negatives(arrays, rows, share, settings.negatives)]))
    documents, own = share.of(rows), share.of(candidates)
    mine = share.of(np.arange(len(rows)))
    sizes = np.diff(right_offsets)[mine]
    positives = np.searchsorted(candidates, pick(right, right_offsets, mine)[0])
    weight = settings.distil_weight * max(0.0, 1 - share.step / settings.distil_steps) if teacher else 0.0
    tokens, token_offsets = pick(arrays.tokens, arrays.token_offsets, documents)
    phrases, phrase_offsets = pick(arrays.phrase_tokens, arrays.phrase_offsets, own)
    wanted = np.zeros((0, 1), np.float32)
    if weight:
        wanted = np.concatenate(
            [
                _vectors(teacher.document_codes, teacher.document_scale, arrays.numbers[documents]),
                _vectors(teacher.phrase_codes, teacher.phrase_scale, own),
            ]
        )
    batch = {
        "ids": np.concatenate([tokens, phrases]),
        "offsets": np.concatenate([token_offsets, token_offsets[-1] + phrase_offsets[1:]]),
        "documents": np.array([len(documents)], np.int64),
        "positives": positives.astype(np.int64),
        "positive_offsets": np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
        "total": np.array([len(rows), len(candidates), len(right)], np.int64),
        "teacher": wanted,
        "distil": np.array([weight], np.float32),
    }
    return batch | _words(arrays.words, documents, len(own)) if arrays.words is not None else batch


def draw_negatives(arrays: PairArrays, rows: np.ndarray, share: Share, count: int) -> np.ndarray:
    """`count` phrases of the pool of each document of `rows`, or all where it has no more; equal for all workers."""
    pool, offsets = pick(arrays.pool, arrays.pool_offsets, rows)
    of = np.repeat(np.arange(len(rows)), np.diff(offsets))
    shuffled = np.lexsort((share.random(1).random(len(pool)), of))
    return pool[shuffled[np.arange(len(pool)) - offsets[of] < count]]


def _words(words: WordArrays, documents: np.ndarray, candidates: int) -> Batch:
    found = words.of(documents)
    offsets = np.concatenate([found.offsets, np.repeat(found.offsets[-1:], candidates)])
    return {f"word_{name}": values for name, values in found._replace(offsets=offsets)._asdict().items()}


def _vectors(codes: np.ndarray, scale: np.ndarray, rows: np.ndarray) -> np.ndarray:
    return codes[rows].astype(np.float32) * scale[rows][:, None]
