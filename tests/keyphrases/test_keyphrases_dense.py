"""Vectors beside the archive, against plain float arithmetic."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from keyphrase_worlds import build_archive, build_suggester, journal, table

from kartoteka.allowed import Allowed
from kartoteka.keyphrases.dense import DENSE, open_vectors, quantise, write_vectors
from kartoteka.keyphrases.neighbours import AnnotatedVectors
from kartoteka.keyphrases.settings import KeyphraseSettings
from kartoteka.keyphrases.suggest import Suggester


def unit(n: int, d: int, seed: int) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(n, d)) + 0.5
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


class Exact:
    """The nearest of some vectors by a plain product."""

    def __init__(self, vectors: np.ndarray) -> None:
        self.vectors = vectors

    def search(self, queries, k, exclude=None, allowed=None):
        scores = queries @ self.vectors.T
        if exclude is not None:
            scores[np.arange(len(queries))[exclude >= 0], exclude[exclude >= 0]] = -2
        if allowed is not None:
            scores[:, np.setdiff1d(np.arange(len(self.vectors)), allowed.numbers)] = -2
        order = np.argsort(-scores, kind="stable")[:, :k]
        return order, np.take_along_axis(scores, order, axis=1).astype(np.float32)


def test_quantised_vectors_keep_their_cosines() -> None:
    a, b = unit(50, 64, 0), unit(50, 64, 1)
    codes, scale = quantise(a)
    np.testing.assert_allclose((codes * scale[:, None] * b).sum(1), (a * b).sum(1), atol=0.005)
    codes, scale = quantise(np.zeros((1, 4)))
    assert not codes.any()
    assert scale[0] == 0


def test_dense_features_equal_plain_cosines(tmp_path: Path) -> None:
    records = journal("en")[:150]
    world = build_suggester(records, tmp_path, KeyphraseSettings(retrieval="both", neighbours=8))
    archive = world.archive
    documents, phrases = unit(archive.documents, 48, 0), unit(archive.phrases, 48, 1)
    write_vectors(tmp_path, archive, 48, [documents[:60], documents[60:]], [phrases[:7], phrases[7:]])
    world = Suggester(
        archive, world.lexical, world.settings, None, AnnotatedVectors(Exact(documents)), open_vectors(tmp_path)
    )
    own = np.where(np.arange(30) < 20, np.arange(30), -1)
    found = world.candidates(table(records[:30]), documents[:30], own)
    assert found.names[-len(DENSE) :] == list(DENSE)
    assert np.isfinite(found.rows).all()
    carriers = [[] for _ in range(archive.phrases)]
    for d in range(archive.documents):
        for p in archive.phrases_of(d):
            carriers[p].append(d)
    pool, dense, compared = found.pool, found.rows[:, -len(DENSE) :], 0
    for d in range(30):
        for row in range(pool.offsets[d], pool.offsets[d + 1]):
            p = pool.phrase[row]
            others = [c for c in carriers[p] if c != own[d]] if p >= 0 else []
            assert dense[row, 0] == pytest.approx(float(phrases[p] @ documents[d]) if p >= 0 else -1, abs=0.01)
            if len(others) >= 2:
                total = documents[others].sum(0)
                assert dense[row, 2] == pytest.approx(total @ documents[d] / np.linalg.norm(total), abs=0.02)
                assert dense[row, 4] == pytest.approx(np.linalg.norm(total) / len(others), abs=0.02)
                compared += own[d] in carriers[p]
            else:
                assert dense[row, 2] == dense[row, 4] == -1
    assert compared > 20
    assert pool.votes.shape[1] == 2
    for d in range(20):
        assert not (pool.carriers[pool.offsets[d] : pool.offsets[d + 1]] == d).any()


def test_vectors_that_do_not_fit_the_archive_are_refused(tmp_path: Path) -> None:
    archive = build_archive(journal("en")[:10], tmp_path)
    documents, phrases = unit(10, 8, 0), unit(archive.phrases, 8, 1)
    for some in (documents[:9], np.repeat(documents, 2, axis=0)):
        with pytest.raises(ValueError, match="annotated documents"):
            write_vectors(tmp_path, archive, 8, [some], [phrases])
    with pytest.raises(ValueError, match="phrases"):
        write_vectors(tmp_path, archive, 8, [documents], [phrases[1:]])
    assert open_vectors(tmp_path) is None


def test_numbers_of_a_larger_index_become_those_of_the_annotated_documents() -> None:
    vectors, annotated = unit(40, 8, 2), np.arange(0, 40, 3)
    dense = AnnotatedVectors(Exact(vectors), Allowed.of(annotated, len(vectors)))
    found, scores = dense.search(vectors[annotated], 5, np.arange(len(annotated)))
    plain, plain_scores = Exact(vectors[annotated]).search(vectors[annotated], 5, np.arange(len(annotated)))
    np.testing.assert_array_equal(found, plain)
    np.testing.assert_allclose(scores, plain_scores, rtol=1e-6)
