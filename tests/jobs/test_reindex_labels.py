"""An edition whose documents a classifier labels."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pyarrow.compute as pc

from kartoteka import edition as editions
from kartoteka.sentiment.texts import CLASSES

Run = Callable[..., subprocess.CompletedProcess[str]]


def test_documents_of_the_languages_asked_for_have_labels(
    run: Run, corpus: Path, config: Path, tiny_classifier: Path, tmp_path: Path
) -> None:
    config.write_text(config.read_text() + '\n[labels]\nlanguages = ["ru"]\npurity = 0.5\n')
    place = tmp_path / "e"
    result = run(corpus, "--edition", place, "--classifier", tiny_classifier)
    assert result.returncode == 0, result.stderr
    edition = editions.open(place)
    assert list(editions.verify(edition)) == []
    assert edition.manifest["models"]["classifier"]["name"] == tiny_classifier.name
    documents = edition.table("documents").to_table(columns=["id"], filter=pc.field("lang") == "ru")
    labels = edition.table("labels").to_table()
    assert labels["id"] == documents["id"]
    assert set(labels["label"].to_pylist()) <= set(CLASSES)
    clusters = dict(
        zip(*edition.table("clusters").to_table().select(["id", "cluster"]).to_pydict().values(), strict=True)
    )
    assert [clusters[name] for name in labels["id"].to_pylist()] == labels["cluster"].to_pylist()
    held = set(labels["cluster"].to_pylist())
    for row in edition.summary("clusters").to_pylist():
        assert (row["purity"] is None) == (row["cluster"] not in held)
    assert "Purity" in (place / "report.html").read_text()

    again = run(corpus, "--edition", place, "--classifier", tiny_classifier)
    assert "is complete: nothing to do" in again.stdout
    other = run(corpus, "--edition", place)
    assert other.returncode == 2
    assert "another configuration or other inputs" in other.stderr
    wrong = run(corpus, "--edition", tmp_path / "f", "--classifier", tmp_path)
    assert wrong.returncode == 2
    assert len(wrong.stderr.strip().splitlines()) == 1
