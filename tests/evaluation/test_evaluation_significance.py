"""Intervals and tests against scipy, exhaustive enumeration and theory."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from kartoteka.evaluation.metrics import Sample
from kartoteka.evaluation.significance import bootstrap, compare, holm


def mean(values, name="m") -> Sample:
    values = np.asarray(values, dtype=np.float64)
    return Sample(name, np.stack([values, np.ones_like(values)], axis=1))


def test_interval_is_scipys_percentile_bootstrap():
    values = np.random.default_rng(1).beta(2, 5, size=300)
    ours = bootstrap([mean(values)], resamples=10_000, seed=3)[0]
    theirs = stats.bootstrap((values,), np.mean, n_resamples=10_000, method="percentile", rng=7).confidence_interval
    assert ours.value == pytest.approx(values.mean())
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.002)


def test_interval_of_a_harmonic_mean_is_that_of_resampled_means():
    rng = np.random.default_rng(2)
    columns = np.stack([rng.random(40), rng.random(40), np.ones(40)], axis=1)
    ours = bootstrap([Sample("f", columns)], resamples=20_000)[0]
    drawn = columns[rng.integers(0, 40, size=(20_000, 40))].mean(axis=1)
    numbers = 2 * drawn[:, 0] * drawn[:, 1] / (drawn[:, 0] + drawn[:, 1])
    assert (ours.low, ours.high) == pytest.approx(tuple(np.quantile(numbers, [0.025, 0.975])), abs=0.005)


def test_the_same_seed_gives_the_same_interval_in_blocks_of_any_size(monkeypatch):
    samples = [mean(np.arange(50) / 50)]
    whole = bootstrap(samples, resamples=500, seed=5)[0]
    monkeypatch.setattr("kartoteka.evaluation.significance._DRAWS", 50 * 7)
    cut = bootstrap(samples, resamples=500, seed=5)[0]
    # A matrix product rounds its last bit by its shape on some processors.
    assert (cut.low, cut.high) == pytest.approx((whole.low, whole.high), rel=1e-14)


def test_p_is_that_of_all_swaps():
    rng = np.random.default_rng(4)
    a, b = rng.random(10), rng.random(10) + 0.15
    observed = abs((b - a).mean())
    swaps = np.array(list(product([1, -1], repeat=10)))
    exact = np.mean(np.abs((swaps * (b - a)).mean(axis=1)) >= observed - 1e-12)
    assert compare([mean(a)], [mean(b)], resamples=20_000)[0].p == pytest.approx(exact, abs=0.01)
    theirs = stats.permutation_test(
        (b, a), lambda x, y: np.mean(x) - np.mean(y), permutation_type="samples", n_resamples=np.inf
    )
    assert exact == pytest.approx(theirs.pvalue)


def test_p_of_a_harmonic_mean_swaps_whole_documents():
    rng = np.random.default_rng(5)
    a, b = (np.stack([rng.random(8), rng.random(8) + shift, np.ones(8)], axis=1) for shift in (0.0, 0.4))

    def f1(columns):
        p, r = columns[:, 0].mean(), columns[:, 1].mean()
        return 2 * p * r / (p + r)

    observed = abs(f1(b) - f1(a))
    extreme = 0
    for bits in product([False, True], repeat=8):
        swap = np.array(bits)[:, None]
        extreme += abs(f1(np.where(swap, a, b)) - f1(np.where(swap, b, a))) >= observed - 1e-12
    result = compare([Sample("f", a)], [Sample("f", b)], resamples=20_000)[0]
    assert result.p == pytest.approx(extreme / 2**8, abs=0.015)
    assert result.difference == pytest.approx(f1(b) - f1(a))


def test_equal_systems_differ_by_nothing():
    result = compare([mean([0.2, 0.4, 0.9])], [mean([0.2, 0.4, 0.9])], resamples=200)[0]
    assert (result.difference, result.low, result.high, result.p) == (0, 0, 0, 1)


def test_a_clear_difference_is_found_and_p_is_never_zero():
    a = np.random.default_rng(6).random(200) * 0.5
    result = compare([mean(a)], [mean(a + 0.3)], resamples=1000)[0]
    assert result.p == pytest.approx(1 / 1001)
    assert result.low == pytest.approx(0.3)
    assert result.low <= result.difference <= result.high


def test_p_is_uniform_under_the_null():
    rng = np.random.default_rng(8)
    small = [compare([mean(rng.random(30))], [mean(rng.random(30))], resamples=200)[0].p <= 0.2 for _ in range(200)]
    assert 0.1 < np.mean(small) < 0.3


def test_skipped_documents_do_not_count():
    columns = np.array([[1.0, 1.0], [0.0, 0.0], [0.0, 1.0]])
    interval = bootstrap([Sample("m", columns)], resamples=200)[0]
    assert (interval.value, interval.documents) == (0.5, 2)


def test_a_metric_of_no_document_is_nan_and_not_significant():
    nothing = Sample("m", np.zeros((3, 2)))
    assert np.isnan(bootstrap([nothing], resamples=200)[0].low)
    assert compare([nothing], [nothing], resamples=200)[0].p == 1.0


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_never_lowers_and_keeps_the_order(p):
    adjusted = holm(p)
    assert np.all(adjusted >= np.array(p) - 1e-15)
    assert np.all(adjusted <= 1)
    assert np.all(np.diff(adjusted[np.argsort(p, kind="stable")]) >= 0)
