"""Whether a score of 0.8 is right eight times in ten: reliability, expected calibration error, Brier score."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np


@dataclass(frozen=True, slots=True)
class Bin:
    """Predictions with scores from `low` to `high`: how many, their mean score, the share that is right."""

    low: float
    high: float
    count: int
    score: float
    accuracy: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """Of scored predictions: both expected calibration errors, their bins, the Brier score, and how many there are."""

    count: int
    bins: int
    ece_equal_mass: float
    ece_equal_width: float
    brier: float
    equal_mass: list[Bin]
    equal_width: list[Bin]


def calibrate(scores: np.ndarray, right: np.ndarray, bins: int = 15) -> Calibration:
    """Calibration of probabilities `scores` [n] against outcomes `right` [n] (bool or 0/1).

    ECE = sum over bins of (count / n) * |accuracy - mean score| (Naeini et al. 2015). Equal-width bins are those of
    Guo et al. 2017; equal-mass bins hold as many predictions each as ties allow. Brier = mean squared difference.
    Raises `ValueError`: nothing to calibrate, or a score outside [0, 1].
    """
    scores, right = np.asarray(scores, dtype=np.float64), np.asarray(right, dtype=np.float64)
    if not len(scores):
        raise ValueError("scores: there are none")
    if not (np.min(scores) >= 0 and np.max(scores) <= 1):
        raise ValueError(f"scores: not probabilities, they go from {np.min(scores):.4g} to {np.max(scores):.4g}")
    mass, width = (reliability(scores, right, bins, kind) for kind in ("mass", "width"))
    return Calibration(
        len(scores), bins, _error(mass), _error(width), float(np.mean((scores - right) ** 2)), mass, width
    )


def reliability(scores: np.ndarray, right: np.ndarray, bins: int, kind: Literal["mass", "width"]) -> list[Bin]:
    """The bins that hold something, by score. Equal scores are never parted."""
    if kind == "width":
        number = np.minimum((scores * bins).astype(np.int64), bins - 1)
    else:
        # The edge a score falls behind depends on the score alone, so that ties stay together.
        edges = np.quantile(scores, np.arange(1, bins) / bins, method="inverted_cdf")
        number = np.searchsorted(np.unique(edges), scores, side="left")
    found = []
    for i in np.unique(number):
        inside = number == i
        held = scores[inside]
        low, high = (i / bins, (i + 1) / bins) if kind == "width" else (held.min(), held.max())
        found.append(Bin(float(low), float(high), len(held), float(held.mean()), float(right[inside].mean())))
    return found


def _error(bins: list[Bin]) -> float:
    total = sum(b.count for b in bins)
    return sum(b.count / total * abs(b.accuracy - b.score) for b in bins)
