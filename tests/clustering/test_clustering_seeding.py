"""Seeds, shares of coarse clusters, and the choice of k."""

from __future__ import annotations

import numpy as np
import pytest
from clustering_worlds import inertia_of, mixture
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import KMeans, kmeans_plusplus

from kartoteka.clustering.assign import nearest
from kartoteka.clustering.choose import choose_seeds, distinctness
from kartoteka.clustering.seeding import oversampled, plus_plus, seeds, shares
from kartoteka.clustering.settings import ClusterSettings

SETTINGS = ClusterSettings()


@settings(deadline=None)
@given(st.integers(0, 99), st.integers(1, 300), st.data())
def test_there_are_as_many_seeds_as_asked_for(seed: int, count: int, data: st.DataObject) -> None:
    k = data.draw(st.integers(1, count))
    points = mixture(count, 3, 4, seed=seed)
    points[count // 2 :] = points[0]  # half of them are equal
    drawn = SETTINGS.model_copy(update={"seed": seed})
    found = seeds(points, k, drawn)
    assert found.shape == (k, 4)
    assert np.isfinite(found).all()
    assert np.array_equal(found, seeds(points, k, drawn))


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(0, 100), st.integers(0, 40)), min_size=1, max_size=20), st.data())
def test_shares_add_up_and_no_cluster_gets_more_than_it_holds(
    clusters: list[tuple[float, int]], data: st.DataObject
) -> None:
    sizes = np.array([size for _, size in clusters])
    inertia = np.array([inertia if size else 0.0 for inertia, size in clusters])
    held = int((sizes > 0).sum())
    if not held:
        return
    k = data.draw(st.integers(held, int(sizes.sum())))
    found = shares(inertia, sizes, k)
    assert found.sum() == k
    assert (found <= sizes).all()
    assert (found[sizes > 0] >= 1).all()


def test_shares_follow_inertia() -> None:
    found = shares(np.array([10.0, 30.0, 0.0]), np.array([100, 100, 100]), 44)
    np.testing.assert_allclose(found, [11, 32, 1], atol=1)


def test_candidates_are_points_and_cover_as_well_as_k_means_plus_plus() -> None:
    points = mixture(5000, 40)
    ours = [oversampled(points, 40, 2.0, np.random.default_rng(seed)) for seed in range(8)]
    rows = {row.tobytes() for row in points}
    assert all(seed.tobytes() in rows for found in ours for seed in found)
    theirs = [kmeans_plusplus(points, 40, random_state=seed, n_local_trials=1)[0] for seed in range(8)]
    cost, oracle = (
        np.mean([inertia_of(points, nearest(points, found), found) for found in way]) for way in (ours, theirs)
    )
    assert cost <= 1.05 * oracle


def test_k_means_plus_plus_takes_no_point_twice_and_none_without_weight() -> None:
    points = mixture(30, 5)
    weights = np.where(np.arange(30) < 20, 1.0, 0.0)
    chosen = plus_plus(points, weights, 20, np.random.default_rng(0))
    assert sorted(chosen.tolist()) == list(range(20))


@pytest.mark.parametrize(("k", "more"), [(50, 1.05), (600, 1.2)])
def test_seeds_lie_near_what_many_rounds_reach(k: int, more: float) -> None:
    """On one level, and on two, where coarse clusters cut through fine ones."""
    points = mixture(8000, 700)
    found = seeds(points, k, SETTINGS)
    oracle = KMeans(k, n_init=1, random_state=0).fit(points)
    assert inertia_of(points, nearest(points, found), found) <= more * oracle.inertia_


def test_distinctness_is_the_simplified_silhouette_of_a_loop() -> None:
    points, centroids = mixture(700, 6), mixture(9, 6, seed=5)
    total = 0.0
    for point in points.astype(np.float64):
        near, other = sorted(np.linalg.norm(point - centroid) for centroid in centroids)[:2]
        total += (other - near) / max(near, other)
    assert distinctness(points, centroids) == pytest.approx(total / 700, rel=1e-4)


def test_distinctness_where_there_is_nothing_to_tell_apart() -> None:
    points = np.ones((5, 3), np.float32)
    assert distinctness(points, points[:1]) == 0
    assert distinctness(points, points[:2]) == 0


def test_of_several_k_the_one_that_the_points_have_is_chosen() -> None:
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((7, 10)) * 3
    points = (centres[rng.integers(0, 7, 3000)] + 0.3 * rng.standard_normal((3000, 10))).astype(np.float32)
    assert len(choose_seeds(points, [3, 7, 20], SETTINGS)) == 7
    assert len(choose_seeds(points, [3, 20], SETTINGS)) in (3, 20)
    assert len(choose_seeds(points[:2], [1, 2], SETTINGS)) == 1  # two points: one to try on, one to judge by
