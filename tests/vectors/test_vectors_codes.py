"""Codes of a byte: how far they may be off, and that nothing of it can be seen in what is found."""

from __future__ import annotations

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps

from kartoteka.prefetch import prefetch_row
from kartoteka.vectors.codes import encode, nearest_by_codes
from kartoteka.vectors.exact import nearest

FINITE = st.floats(-60000, 60000, width=16)


@given(nps.arrays(np.float16, nps.array_shapes(min_dims=2, max_dims=2, max_side=20), elements=FINITE))
def test_no_code_is_further_off_than_said(vectors: np.ndarray) -> None:
    codes = encode(vectors)
    decoded = codes.codes.astype(np.float64) * codes.scale[:, None].astype(np.float64)
    apart = np.linalg.norm(vectors.astype(np.float64) - decoded, axis=1)
    assert (apart <= codes.error).all() or apart.max() == codes.error == 0
    assert (apart <= np.abs(vectors).max(axis=1) / 127 * np.sqrt(vectors.shape[1]) + 1e-9).all()


def lists(queries: int, k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return np.full((queries, k), -1, np.int64), np.zeros((queries, k), np.float32), np.zeros(queries, np.int64)


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 10**6),
    rows=st.integers(0, 5000),
    dimension=st.sampled_from([1, 3, 64, 96, 384, 1100]),
    k=st.integers(1, 30),
    scale=st.sampled_from([1e-30, 1e-3, 1.0, 1e6]),
    spread=st.sampled_from([0.0, 1e-3, 1.0]),
    share=st.sampled_from([0.01, 0.5, 1.0]),
)
def test_what_is_found_is_what_a_product_finds(seed, rows, dimension, k, scale, spread, share) -> None:
    rng = np.random.default_rng(seed)
    rows = rows if dimension < 1000 else rows // 20
    centre = rng.standard_normal(dimension)
    vectors = (centre + spread * rng.standard_normal((rows, dimension))).astype(np.float16)
    vectors[rng.random(rows) < 0.1] = 0
    queries = (scale * (centre + rng.standard_normal((3, dimension)))).astype(np.float32)
    queries[2] = 0
    kept = np.flatnonzero(rng.random(rows) < share)
    exclude = rng.integers(-1, rows + 8, 3)
    norm = float(np.linalg.norm(vectors.astype(np.float32), axis=1).max(initial=0)) * 1.0001
    expected, found = lists(3, k), lists(3, k)
    for part in (kept[: len(kept) // 3], kept[len(kept) // 3 :]):  # two calls that fill the same lists
        nearest(queries, vectors, part, 7, norm, exclude, *expected)
        nearest_by_codes(queries, vectors, encode(vectors), part, 7, norm, exclude, *found)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("width", [1, 64, 384, 1000])
def test_asking_memory_ahead_changes_nothing(width: int) -> None:
    @numba.njit
    def total(matrix: np.ndarray) -> int:
        found = 0
        for row in range(len(matrix)):
            prefetch_row(matrix, len(matrix) - 1 - row)
            found += matrix[row].sum()
        return found

    matrix = np.random.default_rng(0).integers(-128, 128, (300, width)).astype(np.int8)
    assert total(matrix) == matrix.sum(dtype=np.int64)
