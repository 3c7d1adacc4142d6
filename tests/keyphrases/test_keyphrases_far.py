"""How documents unlike those of the archive are ranked: near ones by the trees, far ones by trees and formula."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from keyphrase_worlds import wordless

from kartoteka.keyphrases.calibration import log_odds
from kartoteka.keyphrases.far import FAR, NEAR, nearness
from kartoteka.keyphrases.ranker import Fitted, Ranker, fit_ranker
from kartoteka.keyphrases.settings import KeyphraseSettings

SETTINGS = KeyphraseSettings(rounds=20, leaves=8, min_training=20, limit=5)
NAMES = ["signal", "carrier_cosine", "noise"]


def problem(documents: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Candidates of documents with some cosine to the archive; both the first column and the formula tell of labels."""
    random = np.random.default_rng(seed)
    offsets = np.concatenate([[0], np.cumsum(random.integers(5, 30, documents))])
    rows = random.normal(size=(offsets[-1], 3)).astype(np.float32)
    rows[:, 1] = np.repeat(random.uniform(0.2, 0.9, documents), np.diff(offsets))
    rows[1::2, 1] -= 0.1
    formula = random.random(offsets[-1])
    labels = random.random(offsets[-1]) < 1 / (1 + np.exp(4 - 2 * rows[:, 0] - 3 * formula))
    return rows, labels, offsets, formula


@pytest.fixture(scope="module")
def fitted() -> Fitted:
    rows, labels, offsets, formula = problem(500, 0)
    return fit_ranker(rows, labels, offsets, NAMES, SETTINGS, wordless(len(rows)), formula)


def test_nearness_is_that_of_the_nearest_neighbour_of_all_candidates() -> None:
    rows = np.array([[0.3, 0.1], [0.7, 0.1], [-1, 0.4], [0.2, 0.4]], np.float32)
    offsets = np.array([0, 2, 2, 4])
    np.testing.assert_allclose(nearness(rows, ["carrier_cosine", "coverage"], offsets), [0.7, 0, 0.2])
    np.testing.assert_allclose(nearness(rows, ["x", "coverage"], offsets), [0.1, 0, 0.4])
    assert nearness(rows[:0], ["x", "coverage"], np.zeros(1, np.int64)).shape == (0,)


def test_near_documents_are_ranked_by_the_trees_and_far_ones_by_both(fitted: Fitted) -> None:
    ranker, far = fitted.ranker, fitted.ranker.far
    rows, _, offsets, formula = problem(400, 1)
    order, score = ranker.rank(rows, offsets, formula, wordless(len(rows)))
    trees, near = ranker.order(rows, offsets, wordless(len(rows))), nearness(rows, NAMES, offsets)
    of = np.repeat(near, np.diff(offsets))
    assert (near <= far.low).sum() > 0
    np.testing.assert_array_equal(order[of >= far.high], trees[of >= far.high])
    np.testing.assert_array_equal(score[of >= far.high], ranker.probability(trees)[of >= far.high])
    other = log_odds(np.interp(formula, *far.prior)) + 1e-3 * formula
    np.testing.assert_allclose(order[of <= far.low], (trees + other)[of <= far.low] / 2)
    for start, stop in pairwise(offsets):
        assert (np.diff(score[start:stop][np.argsort(order[start:stop])]) >= 0).all()
    assert 0 <= score.min() <= score.max() <= 1


def test_a_few_of_the_training_documents_are_far(fitted: Fitted) -> None:
    rows, _, offsets, _ = problem(500, 0)
    near = nearness(rows, NAMES, offsets)
    assert (near <= fitted.ranker.far.low).mean() == pytest.approx(FAR, abs=0.003)
    assert (near < fitted.ranker.far.high).mean() == pytest.approx(NEAR, abs=0.003)


def test_held_out_log_odds_take_the_place_of_the_trees(fitted: Fitted) -> None:
    rows, labels, offsets, formula = problem(500, 0)
    order, score = fitted.ranker.rank(rows, offsets, formula, wordless(len(rows)), fitted.held_out)
    near = np.repeat(nearness(rows, NAMES, offsets) >= fitted.ranker.far.high, np.diff(offsets))
    np.testing.assert_array_equal(order[near], fitted.held_out[near])
    assert score[labels].mean() > score[~labels].mean() + 0.05


def test_what_is_stored_ranks_the_same(fitted: Fitted, tmp_path: Path) -> None:
    rows, _, offsets, formula = problem(50, 2)
    for ranker in (fitted.ranker, replace(fitted.ranker, far=None)):
        (tmp_path / "ranker.npz").write_bytes(ranker.to_bytes())
        opened = Ranker.open(tmp_path / "ranker.npz")
        assert (opened.far is None) == (ranker.far is None)
        asked = (rows, offsets, formula, wordless(len(rows)))
        for ours, theirs in zip(ranker.rank(*asked), opened.rank(*asked), strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_documents_that_are_all_equally_near_can_be_ranked() -> None:
    rows, labels, offsets, formula = problem(200, 3)
    rows[:, 1] = 0.5
    ranker = fit_ranker(rows, labels, offsets, NAMES, SETTINGS, wordless(len(rows)), formula).ranker
    assert ranker.far.low == ranker.far.high == 0.5
    assert np.isfinite(ranker.rank(rows, offsets, formula, wordless(len(rows)))[1]).all()
