"""Vectors from company: counted by hand, factorised as numpy does."""

from __future__ import annotations

import math

import numpy as np

from kartoteka.encoding.tokens import Tokens
from kartoteka.sentiment.static import positive_pmi, static_vectors

LISTS = [[1, 2, 3, 2], [3, 1], [], [4, 4, 1]]


def by_hand(window: int) -> np.ndarray:
    counts = np.zeros((6, 6))
    for text in LISTS:
        for i, one in enumerate(text):
            for j in range(i + 1, min(len(text), i + window + 1)):
                counts[one, text[j]] += 1 / (j - i)
                counts[text[j], one] += 1 / (j - i)
    context = counts.sum(0) ** 0.75
    found = np.zeros_like(counts)
    for i in range(6):
        for j in range(6):
            if counts[i, j]:
                joint = counts[i, j] / counts.sum()
                found[i, j] = math.log(joint / (counts[i].sum() / counts.sum() * context[j] / context.sum()))
    return np.maximum(found, 0)


def test_positive_pmi_is_that_of_pairs_within_the_window():
    for window in (1, 2, 9):
        found = positive_pmi(Tokens.from_lists(LISTS), 6, window).toarray()
        np.testing.assert_allclose(found, by_hand(window), atol=1e-12)


def test_vectors_are_the_truncated_svd_and_of_unit_scale():
    tokens = Tokens.from_lists(LISTS)
    vectors = static_vectors(tokens, 6, 3, 2, seed=0)
    left, values, _ = np.linalg.svd(by_hand(2))
    wanted = left[:, :3] * np.sqrt(values[:3])
    wanted /= np.sqrt((wanted**2).mean())
    np.testing.assert_allclose(np.abs(vectors), np.abs(wanted), atol=1e-4)
    assert np.array_equal(vectors, static_vectors(tokens, 6, 3, 2, seed=0))


def test_a_vocabulary_smaller_than_the_vectors():
    vectors = static_vectors(Tokens.from_lists(LISTS), 6, 16, 2, seed=0)
    assert vectors.shape == (6, 16)
    assert not vectors[:, 5:].any()
    assert np.isfinite(vectors).all()
    assert not static_vectors(Tokens.from_lists([[1]]), 4, 8, 2, seed=0).any()
