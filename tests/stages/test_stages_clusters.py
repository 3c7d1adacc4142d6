"""The stage of the clusters, task by task: as the functions on arrays, resumed between rounds, odd archives."""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from kartoteka.clustering.local import cluster
from kartoteka.clustering.settings import ClusterSettings
from kartoteka.documents import KEYPHRASES_SCHEMA
from kartoteka.edition import BUILD
from kartoteka.flow.ledger import Ledger
from kartoteka.stages.clusters import NAME, plan, round_folder
from kartoteka.stages.describe import MODEL, SUMMARY
from kartoteka.storage import Storage

WORDS = ["reactors", "libraries", "catalogues", "neutrons", "поиск", "networks"]
SETTINGS = ClusterSettings(k=12, dimension=6, group_documents=70, rounds=6, neighbours=2, points=10, tolerance=0.0)


def vectors_of(count: int, seed: int = 0) -> np.ndarray:
    """About six centres in 10 dimensions, float16 as an edition has them."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((len(WORDS), 10))
    return (centres[np.arange(count) % len(WORDS)] + 0.4 * rng.standard_normal((count, 10))).astype(np.float16)


def write_parts(storage: Storage, vectors: np.ndarray, rows: int = 30) -> dict[str, int]:
    """Parts of an edition around `vectors`; document n is about word n modulo their number."""
    documents = {}
    for start in range(0, max(len(vectors), 1), rows):
        part, numbers = f"part-{start // rows:03d}", range(start, min(start + rows, len(vectors)))
        about = [WORDS[n % len(WORDS)] for n in numbers]
        ids = pa.array([f"d{n:04d}" for n in numbers], pa.string())
        flat = pa.array(vectors[numbers.start : numbers.stop].reshape(-1), pa.float16())
        texts = {"title": [f"On the {word} {n}" for word, n in zip(about, numbers, strict=True)]}
        texts |= {"abstract": [f"We study {word}." for word in about], "lang": ["en"] * len(about)}
        storage.put_table(f"documents/{part}.parquet", pa.table({"id": ids, **texts}))
        vector = pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1])
        storage.put_table(f"embeddings/{part}.parquet", pa.table({"id": ids, "vector": vector}))
        phrase = {"category": "present", "origins": ["extracted"], "neighbours": [], "concept": None}
        found = [[{"phrase": f"{word} as such", "score": 0.5, **phrase}] for word in about]
        keyphrases = pa.table([ids, pa.array(found, KEYPHRASES_SCHEMA.field(1).type)], schema=KEYPHRASES_SCHEMA)
        storage.put_table(f"keyphrases/{part}.parquet", keyphrases)
        documents[part] = len(numbers)
    return documents


def run(storage: Storage, documents: dict[str, int], settings: ClusterSettings, most: int = 10_000) -> int:
    """Do what is missing, `most` tasks of it at most, as the flow does; returns how many tasks were done."""
    ledger, waves, count = Ledger(storage), plan(documents, settings), 0
    while todo := waves(ledger.done(NAME)):
        for name, task in todo.items():
            if count == most:
                return count
            ledger.commit(NAME, dataclasses.replace(task(storage), part=name))
            count += 1
    return count


def result(storage: Storage) -> dict[str, object]:
    """Every file that the stage puts into the edition: tables by value."""
    tables = {name: storage.table(name).to_pylist() for name in storage.list("clusters", ".parquet")}
    return {**tables, MODEL: storage.get(MODEL)}


def test_the_stage_gives_what_the_functions_on_arrays_give(tmp_path: Path) -> None:
    vectors, storage = vectors_of(200), Storage(tmp_path)
    documents = write_parts(storage, vectors)
    run(storage, documents, SETTINGS)
    # the groups of the stage are whole parts: 60 documents of the 70 that fit
    clusters, distances, centroids = cluster(vectors, SETTINGS.model_copy(update={"group_documents": 60}))
    rows = [row for part in documents for row in storage.table(f"clusters/{part}.parquet").to_pylist()]
    assert [row["id"] for row in rows] == [f"d{n:04d}" for n in range(200)]
    assert [row["cluster"] for row in rows] == clusters.tolist()
    np.testing.assert_allclose([row["distance"] for row in rows], distances, rtol=1e-5)
    np.testing.assert_allclose(storage.arrays(MODEL)["centroids"], centroids, rtol=1e-5, atol=1e-6)


def test_a_cluster_is_described_by_what_its_documents_say(tmp_path: Path) -> None:
    storage = Storage(tmp_path)
    documents = write_parts(storage, vectors_of(200))
    run(storage, documents, SETTINGS)
    rows = [row for part in documents for row in storage.table(f"clusters/{part}.parquet").to_pylist()]
    summary = storage.table(SUMMARY).to_pylist()
    assert [row["cluster"] for row in summary] == list(range(SETTINGS.k))
    assert sum(row["inertia"] for row in summary) == pytest.approx(1)
    for row in summary:
        inside = [r for r in rows if r["cluster"] == row["cluster"]]
        assert row["size"] == len(inside)
        assert row["purity"] is None
        assert row["dominant"] is None
        about = Counter(WORDS[int(r["id"][1:]) % len(WORDS)] for r in inside)
        assert about[row["keyphrases"][0].removesuffix(" as such")] == max(about.values())
        assert row["medoids"] == [r["id"] for r in sorted(inside, key=lambda r: (r["distance"], r["id"]))[:3]]
        assert row["terms"][0] in about
        squares = [r["distance"] ** 2 for r in inside]
        assert row["distance"] == pytest.approx((sum(squares) / len(squares)) ** 0.5, rel=1e-5)


def test_a_run_that_is_stopped_after_any_task_ends_as_one_left_alone(tmp_path: Path) -> None:
    vectors, alone, stopped = vectors_of(200), Storage(tmp_path / "alone"), Storage(tmp_path / "stopped")
    documents = write_parts(alone, vectors)
    assert write_parts(stopped, vectors) == documents
    tasks = run(alone, documents, SETTINGS)
    done = 0
    for more in range(1, tasks):
        done += run(stopped, documents, SETTINGS, more)
    assert done == tasks
    assert result(stopped) == result(alone)


def test_only_the_last_rounds_are_kept_on_the_disk(tmp_path: Path) -> None:
    storage = Storage(tmp_path)
    run(storage, write_parts(storage, vectors_of(200)), SETTINGS)
    rounds = len(storage.list(f"{BUILD}/clusters/states")) - 1
    assert rounds > 2
    assert storage.exists(round_folder(rounds - 1))
    assert not any(storage.exists(round_folder(number)) for number in range(rounds - 2))


@pytest.mark.parametrize(
    "vectors",
    [
        np.ones((1, 10), np.float16),
        np.ones((90, 10), np.float16),
        np.zeros((90, 10), np.float16),
        np.concatenate([np.zeros((50, 10), np.float16), vectors_of(40)]),
    ],
    ids=["one document", "equal texts", "zero vectors", "some zero vectors"],
)
@pytest.mark.parametrize("spherical", [False, True])
def test_an_odd_archive_has_clusters_too(tmp_path: Path, vectors: np.ndarray, spherical: bool) -> None:
    storage = Storage(tmp_path)
    documents = write_parts(storage, vectors) | {"part-900": 0}
    for table in ("documents", "embeddings", "keyphrases"):  # a part of which every document was withdrawn
        rows = storage.table(f"{table}/part-000.parquet")
        storage.put_table(f"{table}/part-900.parquet", rows.slice(0, 0))
    run(storage, documents, ClusterSettings(spherical=spherical, group_documents=40))
    summary = storage.table(SUMMARY)
    assert sum(summary["size"].to_pylist()) == len(vectors)
    assert np.isfinite(summary["x"].to_numpy()).all()
    assert storage.table("clusters/part-900.parquet").num_rows == 0


def test_vectors_that_are_not_finite_are_named_by_their_documents(tmp_path: Path) -> None:
    storage, vectors = Storage(tmp_path), vectors_of(200)
    vectors[77, 3] = np.nan
    with pytest.raises(ValueError, match="d0077"):
        run(storage, write_parts(storage, vectors), SETTINGS)


def test_more_clusters_than_documents_is_an_error_that_names_the_setting() -> None:
    with pytest.raises(ValueError, match=r"clusters\.k: 12 clusters of 5 documents"):
        plan({"part-000": 5}, SETTINGS)
