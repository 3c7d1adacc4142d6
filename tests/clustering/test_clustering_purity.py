"""Purity and what passes, beside loops written out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kartoteka.clustering.purity import passing, pseudo_labels, purity, reliable

CLASSES = ["negative", "neutral", "positive"]


def world(seed: int, texts: int, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Clusters, some of them pure, and rounded probabilities, so that thresholds are met exactly at times."""
    rng = np.random.default_rng(seed)
    clusters = rng.integers(0, k, texts)
    probabilities = rng.dirichlet([0.3] * len(CLASSES), texts)
    pure = clusters % 2 == 0
    probabilities[pure] = np.roll(np.sort(probabilities[pure], axis=1), 1, axis=1)
    return clusters, np.round(probabilities, 1).clip(0, 1)


def by_hand(clusters: np.ndarray, probabilities: np.ndarray, cluster: int) -> tuple[int, int, float, float]:
    inside = [row for row in range(len(clusters)) if clusters[row] == cluster]
    if not inside:
        return 0, -1, float("nan"), float("nan")
    votes = [0] * len(CLASSES)
    for row in inside:
        votes[max(range(len(CLASSES)), key=lambda c: (probabilities[row][c], -c))] += 1
    dominant = max(range(len(CLASSES)), key=lambda c: (votes[c], -c))
    soft = sum(probabilities[row][dominant] for row in inside) / len(inside)
    return len(inside), dominant, votes[dominant] / len(inside), soft


@settings(deadline=None)
@given(st.integers(0, 1000), st.integers(0, 60), st.integers(1, 9))
def test_purity_is_that_of_a_loop(seed: int, texts: int, k: int) -> None:
    clusters, probabilities = world(seed, texts, k)
    found = purity(clusters, probabilities, k)
    for cluster in range(k):
        size, dominant, hard, soft = by_hand(clusters, probabilities, cluster)
        assert (found.size[cluster], found.dominant[cluster]) == (size, dominant)
        np.testing.assert_allclose([found.hard[cluster], found.soft[cluster]], [hard, soft], rtol=1e-12)


@settings(deadline=None)
@given(st.integers(0, 1000), st.sampled_from([0.5, 0.6, 0.8]), st.sampled_from([0.4, 0.8, 0.9]), st.booleans())
def test_reliable_is_what_three_conditions_say(seed: int, pure: float, sure: float, soft: bool) -> None:
    clusters, probabilities = world(seed, 50, 6)
    found = purity(clusters, probabilities, 6)
    chosen = reliable(clusters, probabilities, found, least_purity=pure, least_probability=sure, soft=soft)
    for row in range(50):
        _, dominant, hard, mean = by_hand(clusters, probabilities, clusters[row])
        label = int(np.argmax(probabilities[row]))
        share = found.soft[clusters[row]] if soft else hard  # the mean as summed there, to the last bit
        assert mean == pytest.approx(found.soft[clusters[row]])
        assert chosen[row] == (label == dominant and share >= pure and probabilities[row][label] >= sure)


def test_a_gold_label_is_never_overwritten() -> None:
    probabilities = np.array([[0.9, 0.1, 0.0], [0.9, 0.1, 0.0], [0.0, 0.1, 0.9], [0.0, 0.1, 0.9]])
    labels = pseudo_labels(np.array([2, -1, 0, -1]), probabilities, np.array([True, True, False, False]))
    assert labels.tolist() == [2, 0, 0, -1]


def test_the_table_counts_every_text_once_for_each_pair_of_thresholds() -> None:
    clusters, probabilities = world(3, 400, 8)
    sources = ["news" if row % 3 else "posts" for row in range(400)]
    found = purity(clusters, probabilities, 8)
    rows = passing(clusters, probabilities, found, CLASSES, sources, [0.5, 0.9], [0.0, 0.8])
    assert len(rows) == 2 * 2 * len(CLASSES) * 2
    labels = probabilities.argmax(axis=1)
    for row in rows:
        for soft in (False, True):
            kept = reliable(
                clusters, probabilities, found,
                least_purity=row["purity"], least_probability=row["probability"], soft=soft,
            )  # fmt: skip
            members = [CLASSES[labels[i]] == row["class"] and sources[i] == row["source"] for i in range(400)]
            assert row["soft" if soft else "hard"] == sum(k and m for k, m in zip(kept, members, strict=True))
            assert row["texts"] == sum(members)
    assert any(row["hard"] not in (0, row["texts"]) for row in rows)


@pytest.mark.parametrize(
    ("clusters", "probabilities", "what"),
    [
        ([0, 5], [[1.0, 0], [0, 1.0]], "clusters: text 1"),
        ([0, -1], [[1.0, 0], [0, 1.0]], "clusters: text 1"),
        ([0], [[1.0, 0], [0, 1.0]], "probabilities: shape"),
        ([0, 1], [[1.0, 0], [np.nan, 1.0]], "probabilities: of text 1"),
    ],
)
def test_what_is_wrong_is_named(clusters: list[int], probabilities: list[list[float]], what: str) -> None:
    with pytest.raises(ValueError, match=what):
        purity(np.array(clusters), np.array(probabilities), 3)
