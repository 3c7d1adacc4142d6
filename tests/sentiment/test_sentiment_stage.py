"""Labels in a re-index: what the classifier says alone, purity counted by hand, documents that are not asked for."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from sentiment.sentiment_worlds import opinion

from kartoteka.clustering.kmeans import Sums
from kartoteka.clustering.summary import clusters_table, summary_table
from kartoteka.documents import DOCUMENT_SCHEMA, ReadSettings, Refusal, from_record
from kartoteka.flow.stage import apply_steps
from kartoteka.sentiment.classify import DEFAULT_CLASSIFIER, identity_of, open_classifier
from kartoteka.sentiment.texts import CLASSES
from kartoteka.stages.describe import SUMMARY
from kartoteka.stages.labels import LABELS_SCHEMA, CountPurity, Label, LabelSettings, WriteLabels
from kartoteka.storage import Storage

K = 4
PARTS = {"part-0": range(0, 30), "part-1": range(30, 45), "part-2": range(45, 50)}
LOW = LabelSettings(purity=0.4, probability=0.35)


def document(number: int) -> dict[str, object]:
    lang = "en" if number >= 45 or number % 10 == 0 else "ru"
    record = {"id": f"d{number}", "title": opinion(number)["text"], "lang": lang}
    found = from_record(record, "opinions", ReadSettings())
    assert not isinstance(found, Refusal)
    return found


def cluster_of(number: int) -> int:
    return number % 3  # of opinions of one class; the fourth cluster stays empty


def archive(place: Path, gone: set[int] = frozenset()) -> Storage:
    """Documents in three parts, and clusters that no longer hold those that are `gone`."""
    storage = Storage(place)
    for part, numbers in PARTS.items():
        rows = [document(number) for number in numbers]
        storage.put_table(f"documents/{part}.parquet", pa.Table.from_pylist(rows, DOCUMENT_SCHEMA))
        left = [number for number in numbers if number not in gone]
        ids = pa.chunked_array([[f"d{number}" for number in left]], pa.string())
        clusters = np.array([cluster_of(number) for number in left], np.int32)
        storage.put_table(f"clusters/{part}.parquet", clusters_table(ids, clusters, np.zeros(len(left))))
    sums = Sums(np.ones(K, np.int64), np.zeros((K, 2)), np.zeros(K))
    names = [["a"]] * K
    storage.put_table(SUMMARY, summary_table(sums, np.eye(K, 2, dtype=np.float32), names, names, names))
    return storage


def labelled(storage: Storage, classifier: str, settings: LabelSettings) -> list[dict[str, object]]:
    """Run the stage as the flow does; the rows of the table."""
    stage = Label(classifier, settings)
    for step in stage.steps:
        step.open()
    refused = pa.table({})
    for part in PARTS:
        stage.write(storage, part, apply_steps(stage.steps, stage.load(storage, part, b"")), refused)
    CountPurity(list(PARTS))(storage)
    for part in PARTS:
        WriteLabels(part, settings)(storage)
    tables = [storage.table(f"labels/{part}.parquet") for part in PARTS]
    assert all(table.schema.equals(LABELS_SCHEMA) for table in tables)
    return pa.concat_tables(tables).to_pylist()


@pytest.mark.parametrize("kind", ["transformer", "n-grams"])
def test_labels_are_those_of_the_classifier_and_purity_is_that_of_a_plain_count(
    kind: str, tiny_classifier: str, tmp_path: Path
) -> None:
    classifier = tiny_classifier if kind == "transformer" else DEFAULT_CLASSIFIER
    gone = {3, 31}
    storage = archive(tmp_path, gone)
    rows = labelled(storage, classifier, LOW)
    numbers = [number for number in range(50) if number not in gone]
    assert [row["id"] for row in rows] == [f"d{number}" for number in numbers]
    said, _ = open_classifier(classifier, "cpu").classify([document(number)["title"] for number in numbers])
    labels = [CLASSES[row.argmax()] for row in said]
    assert [row["label"] for row in rows] == labels
    np.testing.assert_allclose([row["probability"] for row in rows], said.max(axis=1), atol=1e-6)
    summary = storage.table(SUMMARY).to_pylist()
    believed = 0
    for cluster in range(3):
        inside = [i for i, number in enumerate(numbers) if cluster_of(number) == cluster]
        dominant, most = max(Counter(labels[i] for i in inside).items(), key=lambda item: (item[1], item[0]))
        assert summary[cluster]["purity"] == pytest.approx(most / len(inside))
        if most * 2 > len(inside):
            assert summary[cluster]["dominant"] == dominant
        for i in inside:
            assert rows[i]["cluster"] == cluster
            assert rows[i]["purity"] == pytest.approx(most / len(inside))
            sure = said[i].max() >= LOW.probability and most / len(inside) >= LOW.purity
            assert rows[i]["reliable"] == (sure and labels[i] == summary[cluster]["dominant"])
            believed += rows[i]["reliable"]
    assert believed > 0
    assert (summary[3]["purity"], summary[3]["dominant"]) == (None, None)


def test_only_the_languages_asked_for_are_labelled(tiny_classifier: str, tmp_path: Path) -> None:
    rows = labelled(archive(tmp_path), tiny_classifier, LabelSettings(languages=["ru"]))
    assert [row["id"] for row in rows] == [f"d{number}" for number in range(45) if number % 10]


def test_no_classifier_there(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^classifier: there is no directory"):
        identity_of(str(tmp_path / "absent"))
