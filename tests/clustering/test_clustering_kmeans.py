"""Assignment, rounds and repair beside loops, scikit-learn and FAISS."""

from __future__ import annotations

import faiss
import numpy as np
import pytest
from clustering_worlds import inertia_of, mixture
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import KMeans

from kartoteka.clustering.assign import nearest, nearest_among, neighbours
from kartoteka.clustering.kmeans import State, Sums, add, moved, sums_of
from kartoteka.clustering.settings import ClusterSettings


@settings(deadline=None)
@given(st.integers(0, 99), st.integers(0, 1100), st.integers(1, 200))
def test_the_nearest_is_that_of_all_distances(seed: int, count: int, k: int) -> None:
    points, centroids = mixture(count, 5, 7, seed=seed), mixture(k, 5, 7, seed=seed + 1)
    found = nearest(points, centroids)
    squared = ((points[:, None].astype(np.float64) - centroids) ** 2).sum(axis=2)
    assert found.dtype == np.int32
    np.testing.assert_allclose(squared[np.arange(count), found], squared.min(axis=1, initial=np.inf), atol=1e-5)


def test_of_equal_centroids_the_first_is_the_nearest() -> None:
    centroids = mixture(130, 4)
    assert nearest(centroids[100:101], np.concatenate([centroids, centroids])).tolist() == [100]


def test_the_nearest_of_a_list_is_that_of_its_distances() -> None:
    points, centroids = mixture(300, 20), mixture(40, 20, seed=1)
    lists, before = neighbours(centroids, 7), np.arange(300, dtype=np.int32) % 37
    found = nearest_among(points, before, centroids, lists)
    for row in range(300):
        among = lists[before[row]]
        squared = ((points[row].astype(np.float64) - centroids[among]) ** 2).sum(axis=1)
        assert found[row] in among
        assert ((points[row] - centroids[found[row]]) ** 2).sum() == pytest.approx(squared.min(), abs=1e-5)


def test_the_neighbours_of_a_centroid_are_the_nearest_and_itself() -> None:
    centroids = np.concatenate([mixture(60, 20), mixture(60, 20)[:5]])  # copies do not push one out of its own list
    lists = neighbours(centroids, 9)
    squared = ((centroids[:, None].astype(np.float64) - centroids) ** 2).sum(axis=2)
    for row, among in enumerate(lists):
        assert row in among
        np.testing.assert_allclose(np.sort(squared[row, among]), np.sort(squared[row])[:9], atol=1e-5)


def test_sums_of_groups_added_up_are_those_of_a_loop() -> None:
    points, centroids = mixture(500, 9), mixture(12, 9, seed=3)
    clusters = nearest(points, centroids)
    groups = [slice(0, 100), slice(100, 100), slice(100, 500)]
    parts = [sums_of(points[group], clusters[group], centroids) for group in groups]
    whole = add(sums for sums, _ in parts)
    for cluster in range(12):
        inside = points[clusters == cluster].astype(np.float64)
        assert whole.counts[cluster] == len(inside)
        np.testing.assert_allclose(whole.totals[cluster], inside.sum(axis=0), atol=1e-9)
        np.testing.assert_allclose(whole.inertia[cluster], ((inside - centroids[cluster]) ** 2).sum(), atol=1e-9)
    distances = np.concatenate([distances for _, distances in parts])
    np.testing.assert_allclose(distances, np.linalg.norm(points - centroids[clusters], axis=1), rtol=1e-5)


def rounds(points: np.ndarray, seeds: np.ndarray, settings: ClusterSettings) -> tuple[State, np.ndarray]:
    state, clusters = State.begin(seeds, settings), None
    while not state.settled(settings):
        clusters = state.assign(points, clusters)
        state = state.after(sums_of(points, clusters, state.centroids)[0], settings)
    return state, state.assign(points, None)


def test_rounds_that_compare_all_are_lloyds_as_scikit_learn_has_them() -> None:
    points = mixture(2000, 15)
    seeds = points[:15].copy()
    settings = ClusterSettings(rounds=8, tolerance=0)
    state, clusters = rounds(points, seeds, settings)
    oracle = KMeans(15, init=seeds, n_init=1, max_iter=8, tol=0, algorithm="lloyd").fit(points.astype(np.float64))
    np.testing.assert_allclose(state.centroids, oracle.cluster_centers_, atol=1e-4)
    assert (clusters == oracle.labels_).mean() > 0.999


@pytest.mark.parametrize("spherical", [False, True])
def test_inertia_never_rises_and_near_centroids_do_nearly_as_well_as_all(spherical: bool) -> None:
    points = mixture(6000, 80)
    few = ClusterSettings(rounds=12, tolerance=0, neighbours=12, spherical=spherical)
    all_ = few.model_copy(update={"neighbours": 80})
    begun, compared = State.begin(points[:80].copy(), few), State.begin(points[:80].copy(), all_)
    assert begun.lists.shape == (80, 12)
    assert not len(compared.lists)
    state, clusters = rounds(points, points[:80].copy(), few)
    whole, exact = rounds(points, points[:80].copy(), all_)
    assert (np.diff(state.inertia) <= 1e-9 * state.inertia[0]).all()
    assert inertia_of(points, clusters, state.centroids) <= 1.01 * inertia_of(points, exact, whole.centroids)
    if spherical:
        np.testing.assert_allclose(np.linalg.norm(state.centroids, axis=1), 1, rtol=1e-5)


def test_the_inertia_is_that_of_faiss_with_as_many_rounds() -> None:
    points = mixture(8000, 120, 32)
    oracle = faiss.Kmeans(32, 60, niter=15, seed=1, max_points_per_centroid=10_000)
    oracle.train(points)
    seeds = points[np.random.default_rng(0).choice(8000, 60, replace=False)]
    state, clusters = rounds(points, seeds, ClusterSettings(rounds=15, tolerance=0))
    assert inertia_of(points, clusters, state.centroids) <= 1.03 * oracle.obj[-1]  # from other seeds, chosen as blindly


def test_rounds_end_when_inertia_falls_by_less_than_the_tolerance() -> None:
    points = mixture(3000, 30)
    state, _ = rounds(points, points[:30].copy(), ClusterSettings(rounds=200, tolerance=1e-3))
    falls = -np.diff(state.inertia) / state.inertia[:-1]
    assert 2 < len(state.inertia) < 200
    assert (falls[:-1] > 1e-3).all()
    assert falls[-1] <= 1e-3


def test_empty_clusters_take_halves_of_those_with_the_most_inertia() -> None:
    points = mixture(600, 4, 5)
    centroids = np.concatenate([mixture(6, 4, 5, seed=2), np.full((2, 5), 50, np.float32)])  # nothing is near the last
    sums, _ = sums_of(points, nearest(points, centroids), centroids)
    assert sums.counts[-2:].tolist() == [0, 0]
    means = moved(centroids, sums, False)
    assert np.array_equal(means, moved(centroids, sums, False))
    fullest = np.argsort(-sums.inertia)[:2]
    for empty, source in zip([6, 7], fullest, strict=True):
        mean = sums.totals[source] / sums.counts[source]
        np.testing.assert_allclose((means[empty] + means[source]) / 2, mean, atol=1e-5)
    after, _ = sums_of(points, nearest(points, means), means)
    assert (after.counts > 0).all()


def test_empty_clusters_stay_where_no_cluster_can_be_halved() -> None:
    sums = Sums(np.array([3, 0]), np.array([[3.0, 6.0], [0, 0]]), np.zeros(2))
    means = moved(np.array([[9.0, 9.0], [7.0, 7.0]], np.float32), sums, False)
    assert means.tolist() == [[1, 2], [7, 7]]
