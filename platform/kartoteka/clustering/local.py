"""PCA and K-Means of vectors that one process holds: by the functions, and in the groups, of a re-index."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat

import numpy as np

from kartoteka.clustering import kmeans, pca
from kartoteka.clustering.choose import choose_seeds
from kartoteka.clustering.settings import ClusterSettings


def cluster(
    vectors: np.ndarray, settings: ClusterSettings, threads: int = 1
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Clusters of `vectors` [n, d]: number int32 [n], distance float32 [n], and centroids float32 [k, dimension].

    Distances and centroids are in the space of the principal components. The result does not depend on `threads`.
    Raises `ValueError`: more clusters than vectors, or a value that is not finite (naming its row).
    """
    numbers = settings.candidates(len(vectors))
    with ThreadPoolExecutor(threads) as pool:
        groups = _groups(pca.unit(vectors), settings.group_documents)
        projection = pca.fit(pca.add(pool.map(pca.moments, groups)), settings.dimension)
        points = list(pool.map(projection.apply, groups, repeat(settings.spherical)))
        sample = np.concatenate(points)[settings.sample(len(vectors))]
        return rounds(points, choose_seeds(sample, numbers, settings), settings, pool)


def rounds(
    groups: Sequence[np.ndarray], seeds: np.ndarray, settings: ClusterSettings, pool: ThreadPoolExecutor
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """K-Means of points float32 [n, d] in `groups`, from `seeds` [k, d]; the same three arrays as `cluster`."""
    state = kmeans.State.begin(seeds, settings)
    clusters: list[np.ndarray | None] = [None] * len(groups)
    while not state.settled(settings):
        clusters = list(pool.map(state.assign, groups, clusters))
        found = pool.map(kmeans.sums_of, groups, clusters, repeat(state.centroids))
        state = state.after(kmeans.add(sums for sums, _ in found), settings)
    last = list(pool.map(state.assign, groups, repeat(None)))
    found = pool.map(kmeans.sums_of, groups, last, repeat(state.centroids))
    return np.concatenate(last), np.concatenate([distances for _, distances in found]), state.centroids


def _groups(vectors: np.ndarray, most: int) -> list[np.ndarray]:
    return [vectors[start : start + most] for start in range(0, max(1, len(vectors)), most)]
