"""K-Means as rounds over groups of points: each group gives sums, and the sums added in group order give centroids.

The first round and the last compare every point with every centroid. In between, a point is compared with the nearest
centroids of the one it is at: a thirtieth of the work, and nearly always the same answer. Inertia is the sum of squared
distances to the centroids that a round assigned to.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce
from typing import Self

import numba
import numpy as np

from kartoteka.clustering.assign import nearest, nearest_among, neighbours
from kartoteka.clustering.pca import unit
from kartoteka.clustering.settings import ClusterSettings

#: Lists save nothing unless there are more than so many times as many centroids as one holds.
_WORTH = 4
#: How far the two halves of a split cluster are set apart, in root mean squared distances of its points.
_APART = 0.5


@dataclass(frozen=True, slots=True)
class Sums:
    """Of points by cluster: `counts` int64 [k], `totals` float64 [k, d], `inertia` float64 [k]."""

    counts: np.ndarray
    totals: np.ndarray
    inertia: np.ndarray

    def __add__(self, other: Sums) -> Sums:
        return Sums(self.counts + other.counts, self.totals + other.totals, self.inertia + other.inertia)


@dataclass(frozen=True, slots=True)
class State:
    """Between two rounds: `centroids` float32 [k, d], their nearest `lists` int32 [k, m] (m = k: all of them).

    `inertia` float64 [rounds]: of each round that is done.
    """

    centroids: np.ndarray
    lists: np.ndarray
    inertia: np.ndarray

    @classmethod
    def begin(cls, centroids: np.ndarray, settings: ClusterSettings, inertia: np.ndarray | None = None) -> Self:
        """At `centroids`, after rounds of `inertia` (none: before the first)."""
        k = len(centroids)
        few = settings.neighbours * _WORTH < k
        lists = neighbours(centroids, settings.neighbours) if few else np.zeros((0, k), np.int32)
        return cls(centroids, lists, np.zeros(0) if inertia is None else inertia)

    def assign(self, points: np.ndarray, before: np.ndarray | None) -> np.ndarray:
        """The clusters of `points` [n, d], int32 [n], given where they were `before` (None: anywhere)."""
        if before is None or not len(self.lists):
            return nearest(points, self.centroids)
        return nearest_among(points, before, self.centroids, self.lists)

    def after(self, sums: Sums, settings: ClusterSettings) -> Self:
        """The state after a round whose `sums` over all groups these are."""
        inertia = np.append(self.inertia, sums.inertia.sum())
        return self.begin(moved(self.centroids, sums, settings.spherical), settings, inertia)

    def settled(self, settings: ClusterSettings) -> bool:
        """Whether no further round is worth it."""
        if len(self.inertia) >= settings.rounds:
            return True
        return len(self.inertia) > 1 and self.inertia[-2] - self.inertia[-1] <= settings.tolerance * self.inertia[-2]


def sums_of(points: np.ndarray, clusters: np.ndarray, centroids: np.ndarray) -> tuple[Sums, np.ndarray]:
    """What a group gives to a round, and the distance of each of its `points` [n, d] to its centroid, float32 [n]."""
    k, dimension = centroids.shape
    sums = Sums(np.zeros(k, np.int64), np.zeros((k, dimension)), np.zeros(k))
    distances = np.empty(len(points), np.float32)
    _sum(points, clusters, centroids, sums.counts, sums.totals, sums.inertia, distances)
    return sums, distances


def add(groups: Iterable[Sums]) -> Sums:
    """The sums of all `groups`, of which there is one at least, added in their order."""
    return reduce(operator.add, groups)


def moved(centroids: np.ndarray, sums: Sums, spherical: bool) -> np.ndarray:
    """The means of the clusters, float32 [k, d]; each empty one takes half of another.

    An empty cluster and the one of most inertia that is still whole are set on either side of the latter's mean, along
    the first axis, that of the largest variance. Where no cluster has inertia left to share, the empty ones stay.
    """
    means = np.where(sums.counts[:, None] > 0, sums.totals / np.maximum(sums.counts, 1)[:, None], centroids)
    empty = np.flatnonzero(sums.counts == 0)
    fullest = np.argsort(-sums.inertia, kind="stable")
    for target, source in zip(empty.tolist(), fullest.tolist(), strict=False):
        if sums.inertia[source] <= 0:
            break
        means[target] = means[source]
        step = _APART * np.sqrt(sums.inertia[source] / sums.counts[source])
        means[target, 0] += step
        means[source, 0] -= step
    means = means.astype(np.float32)
    return unit(means) if spherical else means


@numba.njit(cache=True, nogil=True)
def _sum(
    points: np.ndarray,
    clusters: np.ndarray,
    centroids: np.ndarray,
    counts: np.ndarray,
    totals: np.ndarray,
    inertia: np.ndarray,
    distances: np.ndarray,
) -> None:
    for i in range(len(points)):
        cluster, point = clusters[i], points[i]
        centroid, total = centroids[cluster], totals[cluster]
        squared = 0.0
        for j in range(len(point)):
            off = np.float64(point[j]) - np.float64(centroid[j])
            squared += off * off
            total[j] += point[j]
        counts[cluster] += 1
        inertia[cluster] += squared
        distances[i] = np.sqrt(squared)
