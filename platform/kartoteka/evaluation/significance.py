"""Intervals and tests on per-document values: paired bootstrap, approximate randomisation, Holm.

One set of resamples serves every metric and both systems, so all of it is paired by document. A resample is a vector of
document weights; the numbers of all metrics come from one matrix product.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from kartoteka.evaluation.metrics import Sample

#: Numbers drawn at a time: bounds the memory of a resampling, whatever the number of documents.
_DRAWS = 1 << 22


@dataclass(frozen=True, slots=True)
class Interval:
    """A metric with its percentile bootstrap interval."""

    name: str
    value: float
    low: float
    high: float
    documents: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """Second minus first system: the difference, its bootstrap interval, two-sided p as computed and after Holm."""

    name: str
    difference: float
    low: float
    high: float
    p: float
    p_holm: float


def bootstrap(
    samples: Sequence[Sample], *, resamples: int = 10_000, seed: int = 0, level: float = 0.95
) -> list[Interval]:
    """Percentile bootstrap over documents (Efron & Tibshirani 1993, ch. 13) of every metric."""
    draws = _estimates(samples, _resampled(_stack(samples), resamples, seed))
    return [Interval(s.name, s.value, *_bounds(draws[:, i], level), s.documents) for i, s in enumerate(samples)]


def compare(
    first: Sequence[Sample],
    second: Sequence[Sample],
    *,
    resamples: int = 10_000,
    seed: int = 0,
    level: float = 0.95,
) -> list[Comparison]:
    """Test every metric of `second` against that of `first` over the same documents in the same order.

    The interval is that of the difference under a paired bootstrap. p is that of paired approximate randomisation
    (Noreen 1989): documents swap systems at random, p = (1 + #{|t*| >= |t|}) / (1 + resamples), two-sided.
    Holm's step-down correction is over the metrics given.
    """
    a, b = _stack(first), _stack(second)
    assert a.shape == b.shape, "systems are compared over the same documents"
    drawn = zip(_resampled(a, resamples, seed), _resampled(b, resamples, seed), strict=True)
    spread = np.concatenate([_numbers(second, y) - _numbers(first, x) for x, y in drawn])
    observed = np.array([y.value - x.value for x, y in zip(first, second, strict=True)])
    total_a, total_b, change = a.sum(axis=0), b.sum(axis=0), b - a
    extreme = np.zeros(len(first), dtype=np.int64)
    rng = np.random.default_rng(seed)
    for rows in _blocks(resamples, len(a)):
        swapped = rng.integers(0, 2, size=(rows, len(a)), dtype=np.int8).astype(np.float64) @ change
        difference = _numbers(second, total_b - swapped) - _numbers(first, total_a + swapped)
        # Equal differences can differ in the last bits with the order of summing.
        extreme += np.sum(np.abs(difference) >= np.abs(observed) - 1e-12, axis=0)
    p = (1 + extreme) / (1 + resamples)
    p[np.isnan(observed)] = 1.0
    adjusted = holm(p)
    return [
        Comparison(s.name, float(observed[i]), *_bounds(spread[:, i], level), float(p[i]), float(adjusted[i]))
        for i, s in enumerate(first)
    ]


def holm(p: Sequence[float] | np.ndarray) -> np.ndarray:
    """Holm's (1979) adjusted p-values: the family-wise error stays below the level each is compared with."""
    p = np.asarray(p, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    steps = np.minimum(1.0, p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty_like(p)
    adjusted[order] = np.maximum.accumulate(steps)
    return adjusted


def _stack(samples: Sequence[Sample]) -> np.ndarray:
    return np.concatenate([s.columns for s in samples], axis=1)


def _blocks(resamples: int, documents: int) -> Iterator[int]:
    rows = max(1, _DRAWS // max(1, documents))
    for start in range(0, resamples, rows):
        yield min(rows, resamples - start)


def _resampled(columns: np.ndarray, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """Column sums [rows, columns] of bootstrap resamples, in blocks; the same seed draws the same documents."""
    rng, n = np.random.default_rng(seed), len(columns)
    for rows in _blocks(resamples, n):
        drawn = rng.integers(0, n, size=(rows, n)) + np.arange(rows)[:, None] * n
        yield np.bincount(drawn.ravel(), minlength=rows * n).reshape(rows, n).astype(np.float64) @ columns


def _numbers(samples: Sequence[Sample], sums: np.ndarray) -> np.ndarray:
    edges = np.cumsum([0, *(s.columns.shape[1] for s in samples)])
    return np.stack([s.estimate(sums[:, edges[i] : edges[i + 1]]) for i, s in enumerate(samples)], axis=1)


def _estimates(samples: Sequence[Sample], blocks: Iterator[np.ndarray]) -> np.ndarray:
    return np.concatenate([_numbers(samples, sums) for sums in blocks])


def _bounds(draws: np.ndarray, level: float) -> tuple[float, float]:
    draws = draws[~np.isnan(draws)]
    if not len(draws):
        return float("nan"), float("nan")
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
