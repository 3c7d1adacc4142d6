"""The nearest centroid of each point: a blocked product and one pass that finds each row's best score.

The score of centroid c for point x is x.c - |c|^2 / 2: the largest is that of the nearest. The product, not the search
for the best score, should take the time; a row is searched in lanes that the processor compares at once.
"""

from __future__ import annotations

import numba
import numpy as np

#: Points of one product; more would fall out of the cache before they are searched.
_ROWS = 512
#: Scores compared side by side.
_LANES = 64


def nearest(points: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    """The centroid [k, d] nearest to each of `points` float32 [n, d], int32 [n]; of equal ones the first."""
    across, half = np.ascontiguousarray(centroids.T), half_squares(centroids)
    found = np.empty(len(points), np.int32)
    scores = np.empty((min(_ROWS, len(points)), len(centroids)), np.float32)
    for start in range(0, len(points), _ROWS):
        rows = points[start : start + _ROWS]
        product = np.matmul(rows, across, out=scores[: len(rows)])
        _best(product, half, found[start : start + _ROWS])
    return found


def nearest_among(points: np.ndarray, clusters: np.ndarray, centroids: np.ndarray, lists: np.ndarray) -> np.ndarray:
    """The nearest centroid of each of `points` among those that `lists` int32 [k, m] has for its cluster, int32 [n].

    Points of one cluster share a list, so that they make one small product (Wang et al. 2012, "Fast approximate
    k-means via cluster closures").
    """
    order = np.argsort(clusters, kind="stable")
    ends = np.cumsum(np.bincount(clusters, minlength=len(centroids)))
    half = half_squares(centroids)
    found = np.empty(len(points), np.int32)
    best = np.empty(len(points), np.int32)
    start = 0
    for cluster, end in enumerate(ends.tolist()):
        if end > start:
            rows, among = order[start:end], lists[cluster]
            _best(points[rows] @ centroids[among].T, half[among], best[: end - start])
            found[rows] = among[best[: end - start]]
        start = end
    return found


def neighbours(centroids: np.ndarray, count: int) -> np.ndarray:
    """For each centroid the `count` nearest, itself among them, int32 [k, count], ascending; `count` below k."""
    scores = centroids @ centroids.T - half_squares(centroids)
    np.fill_diagonal(scores, np.inf)
    return np.sort(np.argpartition(-scores, count - 1, axis=1)[:, :count], axis=1).astype(np.int32)


def half_squares(centroids: np.ndarray) -> np.ndarray:
    """Half the squared length of each centroid, float32 [k]."""
    return (np.einsum("kd,kd->k", centroids, centroids, dtype=np.float64) / 2).astype(np.float32)


@numba.njit(cache=True, nogil=True)
def _best(scores: np.ndarray, half: np.ndarray, found: np.ndarray) -> None:
    """Where `scores` [n, k] less `half` [k] is largest in each row; `scores` are overwritten."""
    k = scores.shape[1]
    even = k // _LANES * _LANES
    largest = np.empty(_LANES, np.float32)
    for i in range(len(scores)):
        row = scores[i]
        largest[:] = -np.inf
        for first in range(0, even, _LANES):
            for lane in range(_LANES):
                value = row[first + lane] - half[first + lane]
                row[first + lane] = value
                largest[lane] = value if value > largest[lane] else largest[lane]
        for j in range(even, k):
            row[j] -= half[j]
            largest[0] = row[j] if row[j] > largest[0] else largest[0]
        best = largest.max()
        for j in range(k):
            if row[j] == best:
                found[i] = j
                break
