"""How many clusters: of some numbers, the one whose clusters are the most distinct."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kartoteka.clustering.assign import half_squares
from kartoteka.clustering.seeding import seeds
from kartoteka.clustering.settings import ClusterSettings

#: Points the criterion is averaged over, at most, and of one product.
_POINTS, _ROWS = 20_000, 512


def choose_seeds(sample: np.ndarray, numbers: Sequence[int], settings: ClusterSettings) -> np.ndarray:
    """Seeds [k, d] from a `sample` of points [n, d], for the best k of `numbers`; of equal ones the smallest.

    Each k is tried on every other point and judged by `distinctness` on those in between: on the points that centroids
    were fitted to, more of them always look better.
    """
    if len(numbers) == 1:
        return seeds(sample, numbers[0], settings)
    fitted, others = sample[::2], sample[1::2][:_POINTS]
    tried = [number for number in numbers if number <= len(fitted)]
    scores = [distinctness(others, seeds(fitted, number, settings)) for number in tried]
    return seeds(sample, tried[int(np.argmax(scores))] if tried else numbers[0], settings)


def distinctness(points: np.ndarray, centroids: np.ndarray) -> float:
    """The simplified silhouette (Hruschka, de Castro & Campello 2004) of `points` [n, d] about `centroids` [k, d].

    The mean of 1 - a / b: a the distance to the nearest centroid, b to the next. 0 for a single one, and for a point
    as far from both.
    """
    if len(centroids) == 1:
        return 0.0
    half, total = half_squares(centroids), 0.0
    for start in range(0, len(points), _ROWS):
        rows = points[start : start + _ROWS]
        best = np.partition(half - rows @ centroids.T, 1, axis=1)[:, :2].astype(np.float64)
        lengths = np.einsum("nd,nd->n", rows, rows, dtype=np.float64)[:, None]
        near, next_ = np.sqrt(np.maximum(2 * best + lengths, 0)).T
        total += float(np.where(next_ > 0, 1 - near / np.where(next_ > 0, next_, 1), 0).sum())
    return total / max(len(points), 1)
