"""The stage of the labels, task by task: as the functions on arrays, whatever the parts, and resumed."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from kartoteka.clustering.kmeans import Sums
from kartoteka.clustering.purity import purity, reliable
from kartoteka.clustering.summary import clusters_table, summary_table
from kartoteka.flow.ledger import Ledger
from kartoteka.sentiment.classify import open_classifier
from kartoteka.sentiment.texts import CLASSES
from kartoteka.stages.describe import SUMMARY
from kartoteka.stages.labels import NAME, SCHEMA, LabelSettings, plan
from kartoteka.storage import Storage

K = 4
SETTINGS = LabelSettings(languages=["ru"], purity=0.5, probability=0.34)
WORDS = ("хорошо", "плохо", "таблица", "книга", "река", "поезд")


def write_parts(storage: Storage, count: int, rows: int) -> dict[str, int]:
    """Documents of two languages, their clusters, and the table of clusters."""
    clusters = np.random.default_rng(0).integers(0, K - 1, count)  # the last cluster holds none
    documents = {}
    for start in range(0, count, rows):
        part, numbers = f"part-{start // rows:03d}", np.arange(start, min(start + rows, count))
        ids = pa.chunked_array([[f"d{n:03d}" for n in numbers]])
        texts = {
            "title": [WORDS[n % len(WORDS)] for n in numbers],
            "abstract": [f"{WORDS[clusters[n]]} {n}" for n in numbers],
            "lang": ["ru" if n % 3 else "en" for n in numbers],
        }
        storage.put_table(f"documents/{part}.parquet", pa.table({"id": ids, **texts}))
        table = clusters_table(ids, clusters[numbers], np.zeros(len(numbers)))
        storage.put_table(f"clusters/{part}.parquet", table)
        documents[part] = len(numbers)
    sums = Sums(np.bincount(clusters, minlength=K), np.zeros((K, 2)), np.zeros(K))
    storage.put_table(SUMMARY, summary_table(sums, np.zeros((K, 2), np.float32), *([[]] * K for _ in range(3))))
    return documents


def run(storage: Storage, waves: object, most: int = 1000) -> int:
    """Do what is missing, `most` tasks of it at most, as the flow does; returns how many tasks were done."""
    ledger, count = Ledger(storage), 0
    while todo := waves(ledger.done(NAME)):
        for name, task in todo.items():
            if count == most:
                return count
            ledger.commit(NAME, dataclasses.replace(task(storage), part=name))
            count += 1
    return count


def labels_of(storage: Storage, documents: dict[str, int]) -> list[dict]:
    return [row for part in documents for row in storage.table(f"labels/{part}.parquet").to_pylist()]


def test_labels_are_those_of_the_functions_on_arrays(tmp_path: Path, tiny_classifier: Path) -> None:
    storage = Storage(tmp_path)
    documents = write_parts(storage, 60, rows=25)
    run(storage, plan(documents, str(tiny_classifier), SETTINGS))
    tables = [storage.table(f"documents/{part}.parquet").to_pylist() for part in documents]
    asked = [row for table in tables for row in table if row["lang"] == "ru"]
    clusters = np.random.default_rng(0).integers(0, K - 1, 60)[[int(row["id"][1:]) for row in asked]]
    texts = [f"{row['title']}. {row['abstract']}" for row in asked]
    probabilities = open_classifier(str(tiny_classifier), "cpu").classify(texts)[0]
    pure = purity(clusters, probabilities, K)
    believed = reliable(clusters, probabilities, pure, least_purity=0.5, least_probability=0.34)
    found = labels_of(storage, documents)
    assert [row["id"] for row in found] == [row["id"] for row in asked]
    assert [row["label"] for row in found] == [CLASSES[number] for number in probabilities.argmax(1)]
    assert [row["probability"] for row in found] == pytest.approx(probabilities.max(1).tolist(), abs=1e-5)
    assert [row["cluster"] for row in found] == clusters.tolist()
    assert [row["purity"] for row in found] == pytest.approx(pure.hard[clusters].tolist())
    assert [row["reliable"] for row in found] == believed.tolist()
    summary = storage.table(SUMMARY).to_pylist()
    assert [row["purity"] for row in summary[:-1]] == pytest.approx(pure.hard[:-1].tolist())
    assert [row["dominant"] for row in summary[:-1]] == [CLASSES[number] for number in pure.dominant[:-1]]
    assert (summary[-1]["purity"], summary[-1]["dominant"]) == (None, None)


def test_neither_the_parts_nor_a_kill_change_the_labels(tmp_path: Path, tiny_classifier: Path) -> None:
    whole, cut = Storage(tmp_path / "whole"), Storage(tmp_path / "cut")
    one, many = write_parts(whole, 40, rows=40), write_parts(cut, 40, rows=9)
    run(whole, plan(one, str(tiny_classifier), SETTINGS))
    waves, total = plan(many, str(tiny_classifier), SETTINGS), 0
    for most in (2, 1, 3, 100):  # killed in each of the waves, taken up again
        total += run(cut, waves, most)
    assert total == 2 * len(many) + 1
    a, b = labels_of(whole, one), labels_of(cut, many)
    assert [{**row, "probability": None} for row in a] == [{**row, "probability": None} for row in b]
    assert [row["probability"] for row in a] == pytest.approx([row["probability"] for row in b], abs=1e-5)
    assert cut.table(SUMMARY) == whole.table(SUMMARY)


def test_an_archive_of_which_nothing_is_asked_and_an_empty_one(tmp_path: Path, tiny_classifier: Path) -> None:
    storage = Storage(tmp_path)
    documents = write_parts(storage, 10, rows=5)
    run(storage, plan(documents, str(tiny_classifier), LabelSettings(languages=["fr"])))
    tables = [storage.table(f"labels/{part}.parquet") for part in documents]
    assert [(table.num_rows, table.schema) for table in tables] == [(0, SCHEMA)] * 2
    assert storage.table(SUMMARY)["purity"].null_count == K
    assert plan({}, str(tiny_classifier), SETTINGS)({}) == {}
