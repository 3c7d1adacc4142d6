"""Inverted lists over shards against one FAISS index of the same quantiser; bad input."""

from __future__ import annotations

import itertools

import faiss
import numpy as np
import pyarrow as pa
import pytest

from kartoteka.allowed import Allowed
from kartoteka.vectors import probes
from kartoteka.vectors.choose import Quantiser, lists_for, sample_size, train
from kartoteka.vectors.index import ShardedVectors
from kartoteka.vectors.probes import left_of, lists_to_read
from kartoteka.vectors.settings import VectorSettings
from kartoteka.vectors.shard import build_shard

DIMENSION = 24


def clustered(seed: int, rows: int) -> np.ndarray:
    """Unit vectors about 50 centres, as float16, which is how an edition keeps them."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(0).standard_normal((50, DIMENSION))
    vectors = centres[rng.integers(0, 50, rows)] + 0.5 * rng.standard_normal((rows, DIMENSION))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16)


def build(vectors: np.ndarray, cuts: list[int], quantiser: Quantiser, folder, settings=None) -> ShardedVectors:
    for number, (a, z) in enumerate(itertools.pairwise([0, *cuts, len(vectors)])):
        build_shard(vectors[a:z], [f"d{row}" for row in range(a, z)], quantiser, folder / f"{number:05d}")
    return ShardedVectors.open(folder, settings)


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    return clustered(1, 6000)


@pytest.fixture(scope="module", params=["sq8", "flat"])
def trained(request, vectors) -> tuple[VectorSettings, Quantiser]:
    settings = VectorSettings(exact_below=1000, codes=request.param, lists=64, recall=0.9)
    return settings, train(vectors[::2], len(vectors), settings)


def test_shards_return_what_one_faiss_index_would(trained, vectors, tmp_path) -> None:
    settings, quantiser = trained
    queries = clustered(2, 40).astype(np.float32)
    exclude = np.arange(40)
    one = faiss.deserialize_index(np.frombuffer(quantiser.index, np.uint8))
    one.add(vectors.astype(np.float32))
    one.nprobe = quantiser.probes
    _, near = one.search(queries, 10 * settings.refine + 1)
    index = build(vectors, [10, 2500, 2500], quantiser, tmp_path, settings)
    numbers, scores = index.search(queries, 10, exclude)
    for q, row in enumerate(near):
        rows = row[(row >= 0) & (row != exclude[q])][: 10 * settings.refine]
        every = (vectors[rows].astype(np.float64) @ queries[q].astype(np.float64)).astype(np.float32)
        order = np.lexsort((rows, -every))[:10]
        assert numbers[q].tolist() == rows[order].tolist()
        np.testing.assert_allclose(scores[q], every[order], atol=1e-7)


def test_any_shards_give_equal_results(trained, vectors, tmp_path) -> None:
    settings, quantiser = trained
    queries = clustered(3, 30).astype(np.float32)
    allowed = np.random.default_rng(4).random(len(vectors)) < 0.6
    one = build(vectors, [], quantiser, tmp_path / "one", settings)
    many = build(vectors, [1, 3000], quantiser, tmp_path / "many", settings)
    for filtered in (None, allowed, np.flatnonzero(allowed)):
        a, b = one.search(queries, 10, None, filtered), many.search(queries, 10, None, filtered)
        np.testing.assert_array_equal(a[0], b[0])
        np.testing.assert_array_equal(a[1].view(np.int32), b[1].view(np.int32))


def test_recall_and_filters(trained, vectors, tmp_path) -> None:
    settings, quantiser = trained
    index = build(vectors, [3000], quantiser, tmp_path, settings)
    assert quantiser.recall >= 0.9
    assert quantiser.probes < 64
    queries = clustered(5, 50).astype(np.float32)
    every = queries @ vectors.astype(np.float32).T
    for share, least in ((1.0, 0.85), (0.5, 0.85), (0.05, 1.0)):
        allowed = np.random.default_rng(6).random(len(vectors)) < share
        numbers, _ = index.search(queries, 10, None, allowed)
        assert allowed[numbers].all()
        best = np.argsort(-np.where(allowed, every, -2), axis=1)[:, :10]
        kept = np.mean([len(np.intersect1d(a, b)) / 10 for a, b in zip(numbers, best, strict=True)])
        assert kept >= least


def test_what_a_filter_keeps_may_be_far_from_the_query(vectors, tmp_path) -> None:
    settings = VectorSettings(exact_below=1000, lists=64, recall=0.97)
    quantiser = train(vectors[::2], len(vectors), settings)
    index = build(vectors, [3000], quantiser, tmp_path, settings)
    wide = vectors.astype(np.float32)
    side = wide @ np.linalg.svd(wide - wide.mean(axis=0), full_matrices=False)[2][0]
    allowed = side > np.quantile(side, 0.6)
    queries = wide[np.argsort(side)[:100]]  # of the other side, and far out
    numbers, _ = index.search(queries, 10, None, allowed)
    best = np.argsort(-np.where(allowed, queries @ wide.T, -2), axis=1)[:, :10]
    assert allowed[numbers].all()
    assert np.mean([len(np.intersect1d(a, b)) / 10 for a, b in zip(numbers, best, strict=True)]) >= 0.95

    one = faiss.deserialize_index(np.frombuffer(quantiser.index, np.uint8))
    one.add(wide)
    thinned = int(np.ceil(quantiser.probes / allowed.mean()))
    only = faiss.IDSelectorBatch(np.flatnonzero(allowed))
    _, near = one.search(queries, 10, params=faiss.SearchParametersIVF(nprobe=thinned, sel=only))
    assert np.mean([len(np.intersect1d(a, b)) / 10 for a, b in zip(near, best, strict=True)]) < 0.8


def test_lists_are_looked_for_further_only_for_queries_that_lack_enough(vectors, tmp_path, monkeypatch) -> None:
    quantiser = train(vectors[::2], len(vectors), VectorSettings(exact_below=1000, lists=64, recall=0.9))
    index = build(vectors, [3000], quantiser, tmp_path)
    wide = vectors.astype(np.float32)
    side = wide @ wide[0]
    kept = Allowed.of(side > np.quantile(side, 0.6), len(vectors))
    order = np.argsort(side)
    queries = wide[[*order[:30], *order[-30:]]]  # those of the other side lack enough next to them
    counts = left_of(index.shards, kept).counts
    held = np.bincount(np.concatenate([shard.list_of for shard in index.shards])[kept.mask], minlength=64)
    assert counts.tolist() == held.tolist()
    _, lists = lists_to_read(queries, index.shards, kept, counts)
    alone = [lists_to_read(query[None], index.shards, kept, counts)[1][0] for query in queries]
    assert [row[row >= 0].tolist() for row in lists] == [row.tolist() for row in alone]
    assert len({len(row) for row in alone}) > 1
    monkeypatch.setattr(probes, "_TOGETHER", 300)
    np.testing.assert_array_equal(lists_to_read(queries, index.shards, kept, counts)[1], lists)


def test_a_filter_that_is_known_finds_the_same(trained, vectors, tmp_path) -> None:
    settings, quantiser = trained
    index = build(vectors, [3000], quantiser, tmp_path, settings)
    queries = clustered(3, 30).astype(np.float32)
    numbers = np.flatnonzero(np.random.default_rng(4).random(len(vectors)) < 0.6)
    known = Allowed.of(numbers, len(vectors))
    for _ in range(2):
        for a, b in zip(index.search(queries, 10, None, known), index.search(queries, 10, None, numbers), strict=True):
            np.testing.assert_array_equal(a, b)
    assert list(index._left) == [known]


def test_vectors_by_number(trained, vectors, tmp_path) -> None:
    index = build(vectors, [10, 2500, 2500], trained[1], tmp_path, trained[0])
    numbers = np.array([5999, 10, 9, 2500, 2499, 9])
    np.testing.assert_array_equal(index.vectors_of(numbers), vectors[numbers].astype(np.float32))


def test_training_twice_gives_equal_bytes(trained, vectors, tmp_path) -> None:
    settings, quantiser = trained
    assert train(vectors[::2], len(vectors), settings) == quantiser
    quantiser.save(tmp_path / "quantiser")
    assert Quantiser.load(tmp_path / "quantiser") == quantiser
    for name in ("a", "b"):
        build_shard(vectors[:100], pa.array([str(row) for row in range(100)]), quantiser, tmp_path / name)
    for file in (tmp_path / "a").iterdir():
        assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes()


def test_ids_run_through_the_shards(trained, vectors, tmp_path) -> None:
    index = build(vectors, [3, 3], trained[1], tmp_path)
    assert index.documents == 6000
    assert index.ids.take([0, 3, 5999]).to_pylist() == ["d0", "d3", "d5999"]


def test_k_larger_than_the_index_and_no_queries(trained, vectors, tmp_path) -> None:
    settings, quantiser = trained
    index = build(vectors[:20], [5, 5], quantiser, tmp_path, settings)
    numbers, scores = index.search(vectors[:2], 30, np.array([0, -1]))
    assert (numbers[0] >= 0).sum() <= 19
    assert 0 not in numbers[0]
    assert numbers[1, 0] == 1
    assert (scores[numbers < 0] == 0).all()
    assert index.search(vectors[:0], 5)[0].shape == (0, 5)


@pytest.mark.parametrize("exact", [True, False])
def test_an_empty_index(exact, vectors, tmp_path) -> None:
    settings = VectorSettings(exact_below=10**6 if exact else 0, lists=4)
    quantiser = train(vectors[:200], 200, settings)
    index = build(vectors[:0], [], quantiser, tmp_path, settings)
    for allowed in (None, np.zeros(0, bool), np.zeros(0, np.int64)):
        numbers, scores = index.search(vectors[:3], 4, None, allowed)
        assert (numbers == -1).all()
        assert (scores == 0).all()


def test_the_choice_by_size() -> None:
    settings = VectorSettings()
    assert sample_size(100_000, settings) == 0
    assert sample_size(200_000, settings) == 2048 * 64
    assert [lists_for(n) for n in (1, 100, 100_000, 1_000_000, 55_000_000)] == [1, 2, 1024, 4096, 32768]
    assert train(np.zeros((0, 8), np.float32), 100_000, settings).exact
    with pytest.raises(ValueError, match="sample: no vector"):
        train(np.zeros((0, 8), np.float32), 100_001, settings)


def test_wrong_vectors_are_named(trained, vectors, tmp_path) -> None:
    quantiser = trained[1]
    broken = vectors[:5].copy()
    broken[3, 2] = np.nan
    with pytest.raises(ValueError, match="vectors: row 3 holds a value that is not finite"):
        build_shard(broken, list("abcde"), quantiser, tmp_path / "shard")
    with pytest.raises(ValueError, match="vectors: dimension 5 for an index of dimension 24"):
        build_shard(vectors[:, :5], [""] * 6000, quantiser, tmp_path / "shard")
    with pytest.raises(ValueError, match="ids: 2 for 5 vectors"):
        build_shard(vectors[:5], ["a", "b"], quantiser, tmp_path / "shard")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"queries": np.zeros((1, 3), np.float32), "k": 1}, "queries: dimension 3"),
        ({"queries": np.full((1, DIMENSION), np.inf), "k": 1}, "queries: row 0"),
        ({"k": 0}, "k: 0"),
        ({"k": 1, "exclude": np.zeros(7, np.int64)}, r"exclude: shape \(7,\)"),
        ({"k": 1, "allowed": np.zeros(7, bool)}, r"allowed: a mask of shape \(7,\)"),
        ({"k": 1, "allowed": np.array([4, 2])}, "allowed: not ascending"),
        ({"k": 1, "allowed": np.array([4, 60])}, "allowed: 4 to 60 in an index of 50"),
    ],
)
def test_wrong_arguments(arguments, message, trained, vectors, tmp_path) -> None:
    index = build(vectors[:50], [], trained[1], tmp_path)
    with pytest.raises(ValueError, match=message):
        index.search(**{"queries": vectors[:1].astype(np.float32), **arguments})


@pytest.mark.parametrize(
    "name", ["vectors.npy", "codes.npy", "scale.npy", "lists.faiss", "list_of.npy", "ids.arrow", "shard.json"]
)
def test_a_torn_or_missing_file_is_named(name, trained, vectors, tmp_path) -> None:
    build(vectors[:50], [], trained[1], tmp_path)
    path = tmp_path / "00000" / name
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(ValueError, match=name):
        ShardedVectors.open(tmp_path)
    path.unlink()
    with pytest.raises(ValueError, match=name):
        ShardedVectors.open(tmp_path)


def test_shards_of_different_quantisers_are_refused(trained, vectors, tmp_path) -> None:
    build_shard(vectors[:50], ["x"] * 50, trained[1], tmp_path / "00000")
    build_shard(vectors[:50], ["x"] * 50, train(vectors[:0], 50), tmp_path / "00001")
    with pytest.raises(ValueError, match="00001 was written with another quantiser"):
        ShardedVectors.open(tmp_path)
    with pytest.raises(ValueError, match="no shard in"):
        ShardedVectors.open(tmp_path / "00000")
