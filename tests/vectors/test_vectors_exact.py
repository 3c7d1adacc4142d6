"""Exact search: FAISS's Flat index is the oracle; ties, duplicates and shards leave no trace."""

from __future__ import annotations

import itertools

import faiss
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from kartoteka.vectors.choose import train
from kartoteka.vectors.codes import FEW
from kartoteka.vectors.exact import widen
from kartoteka.vectors.index import ShardedVectors
from kartoteka.vectors.shard import build_shard


def unit(rng: np.random.Generator, rows: int, dimension: int) -> np.ndarray:
    vectors = rng.standard_normal((rows, dimension)).astype(np.float32)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)


def build(vectors: np.ndarray, cuts: list[int], folder) -> ShardedVectors:
    quantiser = train(vectors[:0], len(vectors))
    ends = [0, *cuts, len(vectors)]
    for number, (a, z) in enumerate(itertools.pairwise(ends)):
        build_shard(vectors[a:z], [f"d{row}" for row in range(a, z)], quantiser, folder / f"{number:05d}")
    return ShardedVectors.open(folder)


def by_definition(vectors, queries, k, exclude, allowed):
    """Every inner product in float64, stored as float32, sorted by score and number."""
    numbers = np.full((len(queries), k), -1, np.int64)
    scores = np.zeros((len(queries), k), np.float32)
    for q, query in enumerate(queries):
        every = np.array([sum(map(float, query.astype(np.float64) * row.astype(np.float64))) for row in vectors])
        every = every.astype(np.float32)
        rows = [row for row in range(len(vectors)) if allowed[row] and row != exclude[q]]
        rows = sorted(rows, key=lambda row: (-every[row], row))[:k]
        numbers[q, : len(rows)], scores[q, : len(rows)] = rows, every[rows]
    return numbers, scores


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    rows=st.integers(0, 40),
    cuts=st.lists(st.integers(0, 40), max_size=3),
    ks=st.lists(st.integers(1, 50), min_size=3, max_size=3),
    half=st.booleans(),
)
def test_any_sharding_with_duplicates_and_filters_is_the_definition(
    seed, rows, cuts, ks, half, tmp_path_factory
) -> None:
    rng = np.random.default_rng(seed)
    # few distinct values: many equal vectors and equal scores
    vectors = rng.integers(-1, 2, (rows, 3)).astype(np.float16 if half else np.float32)
    index = build(vectors, sorted(min(cut, rows) for cut in cuts), tmp_path_factory.mktemp("vectors"))
    queries = rng.integers(-2, 3, (FEW + 1, 3)).astype(np.float32)
    for k, share in zip(ks, (0.2, 0.8, 1.0), strict=True):
        exclude = rng.integers(-1, max(rows, 1), len(queries))
        allowed = rng.random(rows) < share
        found = index.search(queries, k, exclude, allowed)
        expected = by_definition(vectors, queries, k, exclude, allowed)
        np.testing.assert_array_equal(found[0], expected[0])
        np.testing.assert_array_equal(found[1], expected[1])
        as_numbers = index.search(queries, k, exclude, np.flatnonzero(allowed))
        np.testing.assert_array_equal(as_numbers[0], expected[0])
        few = index.search(queries[:FEW], k, exclude[:FEW], allowed)  # by codes, not by a product
        np.testing.assert_array_equal(few[0], expected[0][:FEW])
        np.testing.assert_array_equal(few[1], expected[1][:FEW])


def test_the_neighbours_are_those_of_faiss_flat_whatever_the_shards(tmp_path) -> None:
    rng = np.random.default_rng(7)
    vectors, queries = unit(rng, 12000, 48), unit(rng, 600, 48)
    flat = faiss.IndexFlatIP(48)
    flat.add(vectors)
    scores, numbers = flat.search(queries, 20)
    one = build(vectors, [], tmp_path / "one").search(queries, 20)
    many = build(vectors, [1, 5000, 5000, 9999], tmp_path / "many").search(queries, 20)
    np.testing.assert_array_equal(one[0], numbers)
    np.testing.assert_allclose(one[1], scores, atol=1e-6)
    np.testing.assert_array_equal(many[0], one[0])
    np.testing.assert_array_equal(many[1].view(np.int32), one[1].view(np.int32))


def test_more_equal_vectors_than_any_buffer_holds(tmp_path) -> None:
    vectors = np.tile(unit(np.random.default_rng(1), 1, 8), (6000, 1))
    index = build(vectors, [3000], tmp_path)
    for queries in (1, FEW + 1):
        numbers, scores = index.search(vectors[:queries], 5, np.full(queries, 2))
        assert numbers.tolist() == [[0, 1, 3, 4, 5]] * queries
        assert np.ptp(scores) == 0


def test_every_finite_float16_is_widened_exactly() -> None:
    every = np.arange(2**16, dtype=np.uint16).view(np.float16).reshape(256, 256)
    every = every[np.isfinite(every).all(axis=1)]
    wide = np.empty(every.shape, np.float32)
    widen(every, wide)
    np.testing.assert_array_equal(wide.view(np.int32), every.astype(np.float32).view(np.int32))
