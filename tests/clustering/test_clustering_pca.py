"""Principal components from sums, beside scikit-learn's over all vectors at once."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import PCA

from kartoteka.clustering.pca import add, fit, moments, unit


def vectors_of(count: int, dimension: int, seed: int = 0) -> np.ndarray:
    """Vectors whose variances differ from axis to axis of a turned space, far from the origin."""
    rng = np.random.default_rng(seed)
    turn = np.linalg.qr(rng.standard_normal((dimension, dimension)))[0]
    scaled = rng.standard_normal((count, dimension)) * 0.85 ** np.arange(dimension)
    return (scaled @ turn + turn[0]).astype(np.float16)


def test_the_components_are_those_of_scikit_learn_up_to_sign() -> None:
    vectors = unit(vectors_of(3000, 24))
    parts = np.array_split(vectors, [100, 101, 101, 1500])  # one of them empty
    projection = fit(add(map(moments, parts)), 12)
    oracle = PCA(12, svd_solver="full").fit(vectors.astype(np.float64))
    signs = np.sign(np.einsum("cd,cd->c", projection.components, oracle.components_))
    np.testing.assert_allclose(projection.components * signs[:, None], oracle.components_, atol=1e-4)
    expected = oracle.transform(vectors.astype(np.float64))
    np.testing.assert_allclose(projection.apply(vectors, False) * signs, expected, atol=1e-4)


@settings(deadline=None)
@given(st.lists(st.integers(0, 40), min_size=1, max_size=5), st.integers(0, 99))
def test_sums_of_parts_are_those_of_the_whole(sizes: list[int], seed: int) -> None:
    vectors = unit(vectors_of(sum(sizes), 6, seed))
    whole = add(map(moments, np.split(vectors, np.cumsum(sizes)[:-1])))
    wide = vectors.astype(np.float64)
    assert whole.count == len(vectors)
    np.testing.assert_allclose(whole.total, wide.sum(axis=0), atol=1e-9)
    np.testing.assert_allclose(whole.products, wide.T @ wide, atol=1e-9)


def test_the_sign_of_a_component_is_that_of_its_largest_coefficient() -> None:
    components = fit(moments(unit(vectors_of(500, 8))), 8).components
    assert (components[np.arange(8), np.abs(components).argmax(axis=1)] > 0).all()


def test_no_more_components_than_the_vectors_have() -> None:
    vectors = unit(vectors_of(50, 5))
    projection = fit(moments(vectors), 128)
    assert projection.components.shape == (5, 5)
    points = projection.apply(vectors, False)
    away = np.linalg.norm(vectors[:, None] - vectors, axis=2)
    np.testing.assert_allclose(np.linalg.norm(points[:, None] - points, axis=2), away, atol=1e-5)


def test_spherical_points_have_unit_length() -> None:
    vectors = unit(vectors_of(50, 8))
    points = fit(moments(vectors), 3).apply(vectors, True)
    np.testing.assert_allclose(np.linalg.norm(points, axis=1), 1, rtol=1e-5)


def test_unit_vectors_keep_their_direction_and_zero_stays_zero() -> None:
    given_ = np.array([[3.0, 4.0], [0.0, 0.0], [-2.0, 0.0]], np.float16)
    np.testing.assert_allclose(unit(given_), [[0.6, 0.8], [0, 0], [-1, 0]], rtol=1e-6)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_names_its_vector(value: float) -> None:
    vectors = np.ones((4, 3), np.float32)
    vectors[2, 1] = value
    with pytest.raises(ValueError, match="row 2"):
        unit(vectors)
    with pytest.raises(ValueError, match=r"1 of 4 .*: c$"):
        unit(vectors, ["a", "b", "c", "d"])
