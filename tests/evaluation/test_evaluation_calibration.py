"""Calibration against sklearn and arithmetic done by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss

from kartoteka.evaluation.calibration import calibrate, reliability


def test_by_hand_with_two_bins():
    result = calibrate(np.array([0.1, 0.3, 0.6, 0.8]), np.array([0, 1, 1, 1]), bins=2)
    # Bins {0.1, 0.3}: mean 0.2, right 0.5; {0.6, 0.8}: mean 0.7, right 1.
    assert result.ece_equal_width == pytest.approx(0.5 * 0.3 + 0.5 * 0.3)
    assert result.ece_equal_mass == pytest.approx(0.3)
    assert result.brier == pytest.approx((0.01 + 0.49 + 0.16 + 0.04) / 4)


@pytest.mark.parametrize(("kind", "strategy"), [("width", "uniform"), ("mass", "quantile")])
def test_bins_are_sklearns(kind, strategy):
    rng = np.random.default_rng(0)
    scores = rng.random(1000)
    right = rng.random(1000) < scores**2
    truth, predicted = calibration_curve(right, scores, n_bins=10, strategy=strategy)
    bins = reliability(scores, right.astype(float), 10, kind)
    tolerance = 1e-12 if kind == "width" else 0.02  # sklearn interpolates the quantiles
    assert [b.accuracy for b in bins] == pytest.approx(truth, abs=tolerance)
    assert [b.score for b in bins] == pytest.approx(predicted, abs=tolerance)


def test_equal_mass_bins_hold_the_same_number():
    bins = reliability(np.linspace(0, 1, 100), np.zeros(100), 10, "mass")
    assert [b.count for b in bins] == [10] * 10


def test_equal_scores_share_a_bin():
    scores = np.array([0.5] * 7 + [0.9] * 3)
    for kind in ("mass", "width"):
        assert [(b.count, b.score) for b in reliability(scores, np.ones(10), 5, kind)] == [
            (7, pytest.approx(0.5)),
            (3, pytest.approx(0.9)),
        ]


def test_scores_that_are_right_are_calibrated_and_others_are_not():
    rng = np.random.default_rng(1)
    scores = rng.random(20_000)
    honest = calibrate(scores, rng.random(20_000) < scores)
    assert honest.ece_equal_mass < 0.02
    assert honest.ece_equal_width < 0.02
    assert calibrate(np.full(100, 0.9), np.zeros(100)).ece_equal_mass == pytest.approx(0.9)


@pytest.mark.parametrize("scores", [[], [0.1, 1.2], [-0.1], [float("nan")]])
def test_what_is_no_probability_is_refused(scores):
    with pytest.raises(ValueError, match="scores"):
        calibrate(np.array(scores), np.zeros(len(scores)))


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60), st.integers(1, 20))
def test_bounds_and_nothing_lost(pairs, bins):
    scores, right = np.array([p[0] for p in pairs]), np.array([p[1] for p in pairs])
    result = calibrate(scores, right, bins)
    for table in (result.equal_mass, result.equal_width):
        assert sum(b.count for b in table) == len(pairs)
        assert len(table) <= bins
    assert 0 <= result.ece_equal_mass <= 1
    assert 0 <= result.ece_equal_width <= 1
    assert result.brier == pytest.approx(brier_score_loss(right, scores, pos_label=True))
