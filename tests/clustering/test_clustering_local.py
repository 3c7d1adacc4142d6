"""PCA and K-Means over an array: the same whatever the threads, and what can be set."""

from __future__ import annotations

import faiss
import numpy as np
import pytest
from clustering_worlds import inertia_of, mixture
from sklearn.cluster import KMeans

from kartoteka.clustering.local import cluster
from kartoteka.clustering.settings import ClusterSettings


def test_the_number_of_threads_changes_nothing() -> None:
    vectors = mixture(3000, 60)
    settings = ClusterSettings(k=70, group_documents=700, neighbours=8, dimension=12)
    one, three = cluster(vectors, settings), cluster(vectors, settings, threads=3)
    assert all(np.array_equal(a, b) for a, b in zip(one, three, strict=True))


def test_another_seed_gives_other_clusters() -> None:
    vectors = mixture(1000, 60)
    first, second = (cluster(vectors, ClusterSettings(k=30, seed=seed))[2] for seed in (1, 2))
    assert not np.array_equal(first, second)


@pytest.mark.parametrize(("k", "more"), [(100, 1.03), (600, 1.08)])
def test_inertia_is_below_that_of_faiss_and_near_that_of_scikit_learn(k: int, more: float) -> None:
    vectors = mixture(8000, 700)
    clusters, distances, centroids = cluster(vectors, ClusterSettings(k=k, dimension=16, group_documents=3000))
    inertia = (distances.astype(np.float64) ** 2).sum()
    peer = faiss.Kmeans(16, k, niter=20, seed=1, max_points_per_centroid=8000)
    peer.train(vectors)
    assert inertia <= 1.01 * peer.obj[-1]
    assert inertia <= more * KMeans(k, n_init=1, random_state=0).fit(vectors).inertia_  # by up to 300 rounds
    assert clusters.shape == distances.shape == (8000,)
    assert centroids.shape == (k, 16)


def test_spherical_clusters_are_by_cosine() -> None:
    vectors = mixture(2000, 20)
    clusters, distances, centroids = cluster(vectors, ClusterSettings(k=20, dimension=8, spherical=True))
    np.testing.assert_allclose(np.linalg.norm(centroids, axis=1), 1, rtol=1e-5)
    assert distances.max() <= 2.0001
    assert len(np.unique(clusters)) == 20


def test_without_a_k_there_is_one_cluster_for_forty_documents() -> None:
    assert ClusterSettings().candidates(10) == [1]
    assert ClusterSettings().candidates(3052) == [76]
    assert ClusterSettings().candidates(10**7) == [2000]
    assert ClusterSettings(k=[5, 3, 5]).candidates(10) == [3, 5]


def test_one_of_several_k_is_taken() -> None:
    vectors = mixture(2000, 20)
    _, _, centroids = cluster(vectors, ClusterSettings(k=[5, 20, 40]))
    assert len(centroids) in (5, 20, 40)


@pytest.mark.parametrize("k", [11, [2, 11]])
def test_more_clusters_than_vectors_is_an_error_that_names_the_setting(k: int | list[int]) -> None:
    with pytest.raises(ValueError, match=r"clusters\.k: 11 clusters of 10"):
        cluster(mixture(10, 2), ClusterSettings(k=k))


@pytest.mark.parametrize("values", [{"k": 0}, {"k": []}, {"k": [0]}, {"k": "many"}, {"dimension": 0}, {"rounds": 0}])
def test_what_cannot_be_set_names_its_field(values: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(values))):
        ClusterSettings.parse(values)


def test_as_many_clusters_as_vectors_leave_no_inertia() -> None:
    vectors = mixture(90, 9)
    clusters, distances, centroids = cluster(vectors, ClusterSettings(k=90, dimension=16))
    assert sorted(clusters.tolist()) == list(range(90))
    assert inertia_of(np.zeros((90, 16)), clusters, centroids) > 1
    np.testing.assert_allclose(distances, 0, atol=1e-3)
