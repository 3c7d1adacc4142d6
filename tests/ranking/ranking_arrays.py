"""Made training data: ragged arrays as `data.prepare` writes them."""

from __future__ import annotations

import numpy as np

from kartoteka.encoding.spans import LONGEST
from kartoteka.keyphrases.dense import VectorArrays, quantise
from kartoteka.ranking.data import PairArrays, WordArrays
from kartoteka.ranking.split import Split

DOCUMENTS, PHRASES = 30, 40


def ragged(sizes: np.ndarray, most: int, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    values = [np.sort(random.choice(most, size, replace=False)) for size in sizes]
    return np.concatenate(values).astype(np.int32), np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)


def made_arrays() -> PairArrays:
    random = np.random.default_rng(0)
    positives = ragged(random.integers(1, 5, DOCUMENTS), 20, random)
    pool = ragged(random.integers(0, 9, DOCUMENTS), 20, random)
    tokens = ragged(random.integers(3, 20, DOCUMENTS), 40, random)
    return PairArrays(
        np.arange(DOCUMENTS), np.full(DOCUMENTS, Split.TRAINING, np.int8),
        *tokens, *positives, pool[0] + 20,
        np.ones(len(pool[0]), np.int16), pool[1], *ragged(random.integers(3, 6, PHRASES), 40, random),
        np.zeros(0, np.uint64), made_words(np.diff(tokens[1])),
    )  # fmt: skip


def made_words(lengths: np.ndarray) -> WordArrays:
    """Words of one or two tokens in documents of so many, the first and last token aside; some have none."""
    random = np.random.default_rng(5)
    firsts, lasts, labels = [], [], []
    for number, length in enumerate(lengths.tolist()):
        starts = np.flatnonzero(random.random(length - 2) < 0.7)[: 0 if number % 5 == 4 else None] + 1
        firsts.append(starts)
        lasts.append(np.append(starts[1:], length - 1)[: len(starts)] - 1)
        some = random.integers(-1, 2, (len(starts), LONGEST))
        beyond = np.arange(len(starts))[:, None] + np.arange(LONGEST) >= len(starts)
        labels.append(np.where(beyond, -1, some).astype(np.int8))
    sizes = [len(some) for some in firsts]
    return WordArrays(
        np.concatenate(firsts).astype(np.int16), np.concatenate(lasts).astype(np.int16), np.concatenate(labels),
        np.concatenate([[0], np.cumsum(sizes)]),
    )  # fmt: skip


def teacher() -> VectorArrays:
    random = np.random.default_rng(2)
    documents, phrases = quantise(random.normal(size=(DOCUMENTS, 8))), quantise(random.normal(size=(PHRASES, 8)))
    empty = np.zeros(0)
    return VectorArrays(*documents, *phrases, empty, empty, empty, empty)


ROWS = np.array([4, 17, 2, 29, 8, 11, 23])
