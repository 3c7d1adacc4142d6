"""The main job end to end: an edition that is whole, the same after any kill, and one line for what is wrong."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pytest
from reindexing import tables_of

from kartoteka import edition as editions

Run = Callable[..., subprocess.CompletedProcess[str]]
Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture(scope="module")
def undisturbed(small_edition: Path) -> dict[str, object]:
    """The tables of a run that nothing disturbed."""
    return tables_of(small_edition)


def test_an_edition_from_nothing(run: Run, small_edition: Path) -> None:
    corpus, said = small_edition.with_name("corpus"), small_edition.with_name("said.txt").read_text()
    edition = editions.open(small_edition)
    counts = edition.manifest["counts"]
    assert (counts["read"], counts["documents"], counts["quarantined"]) == (202, 200, 2)
    assert counts["reasons"] == {"duplicate_id": 1, "bad_json": 1}
    assert "202 rows read = 200 documents + 2 quarantined" in said
    assert list(editions.verify(edition)) == []
    assert not (small_edition / "_build").exists()

    ids = edition.table("documents").to_table()["id"].to_pylist()
    assert ids == [f"doc-{number:04d}" for number in range(200)]
    keyphrases = edition.table("keyphrases").to_table()
    assert keyphrases["id"].to_pylist() == ids
    flat = keyphrases["keyphrases"].combine_chunks().flatten()
    assert len(flat) > 200
    scores = flat.field("score")
    assert 0 <= pc.min(scores).as_py() <= pc.max(scores).as_py() <= 1
    for identity, phrases in zip(ids, keyphrases["keyphrases"].to_pylist(), strict=True):
        assert all(identity not in phrase["neighbours"] for phrase in phrases)
        assert all(phrase["origins"] for phrase in phrases)
        assert phrases == sorted(phrases, key=lambda phrase: -phrase["score"])
    clusters = edition.table("clusters").to_table()
    assert clusters["id"].to_pylist() == ids
    sizes = edition.summary("clusters")["size"].to_pylist()
    assert np.array_equal(np.bincount(clusters["cluster"].to_numpy(), minlength=5), sizes)
    assert counts["clusters"] == len(sizes) == 5
    assert edition.manifest["quality"]["system"] == "ranker"
    assert edition.manifest["quality"]["calibrated"]
    quarantine = {row["reason"]: row for row in edition.table("quarantine").to_table().to_pylist()}
    assert quarantine["bad_json"]["record"] == b'{"id": 1'
    assert quarantine["duplicate_id"]["id"] == "doc-0003"
    assert "a.jsonl:4" in quarantine["duplicate_id"]["detail"]
    again = run(corpus, "--edition", small_edition)
    assert again.returncode == 0
    assert "is complete: nothing to do" in again.stdout
    other = run(corpus / "a.jsonl", "--edition", small_edition)
    assert other.returncode == 2
    assert other.stderr.strip().splitlines() == [other.stderr.strip()]
    assert "another configuration, inputs or version" in other.stderr


def test_a_run_killed_twice_gives_the_same_edition(
    start: Start, run: Run, corpus: Path, tmp_path: Path, undisturbed: dict[str, object]
) -> None:
    place = tmp_path / "e"
    marks: list[dict[str, float]] = []
    # die as soon as the first part of the stage, or of the first round of one, is done
    for stage, first in (("embed", "part-*"), ("suggest", "part-*"), ("clusters", "round-0000-*")):
        process = start(corpus, "--edition", place)
        deadline = time.monotonic() + 180
        while not list((place / "_build" / "done" / stage).glob(f"{first}.json")):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        done = (place / "_build" / "done").rglob("*.json")
        marks.append({str(path): json.loads(path.read_text())["finished"] for path in done})
        assert not (place / "manifest.json").exists()
    for earlier, later in itertools.pairwise(marks):
        assert all(later[path] == finished for path, finished in earlier.items())  # nothing was done twice
    assert run(corpus, "--edition", place).returncode == 0
    assert tables_of(place) == undisturbed


@pytest.mark.slow
def test_the_number_of_workers_changes_nothing(
    run: Run, corpus: Path, tmp_path: Path, undisturbed: dict[str, object]
) -> None:
    result = run(corpus, "--edition", tmp_path / "e", "--cpus", "1", RAY_ADDRESS="")
    assert result.returncode == 0, result.stderr
    assert tables_of(tmp_path / "e") == undisturbed


def test_a_document_that_kills_its_worker_ends_in_quarantine(run: Run, corpus: Path, tmp_path: Path) -> None:
    """Workers and probes get a `sitecustomize` that dies over one text in the middle of stemming and of encoding."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(KILLER)
    with (corpus / "b.jsonl").open("a", encoding="utf-8") as file:
        for number, where in enumerate(("NORMALISE", "STEM")):
            row = {
                "id": f"poison-{where}",
                "title": f"KILL {where}",
                "abstract": "x y z",
                "lang": "en",
                "keyphrases": ["x"],
            }
            file.write(json.dumps(row | {"year": 2000 + number}) + "\n")
    path = os.pathsep.join([str(tmp_path / "site"), *(str(Path(__file__).parents[2] / p) for p in ("platform", "."))])
    result = run(corpus, "--edition", tmp_path / "e", PYTHONPATH=path, RAY_ADDRESS="")
    assert result.returncode == 0, result.stderr
    edition = editions.open(tmp_path / "e")
    assert edition.manifest["counts"]["reasons"] == {"duplicate_id": 1, "bad_json": 1, "killed_worker": 2}
    killed = [row for row in edition.table("quarantine").to_table().to_pylist() if row["reason"] == "killed_worker"]
    assert {(row["stage"], b"KILL" in row["record"]) for row in killed} == {("read", True), ("analyse", True)}
    for table in ("documents", "embeddings", "keyphrases", "clusters"):
        ids = edition.table(table).to_table(columns=["id"])["id"].to_pylist()
        assert len(ids) == 200
        assert not [identity for identity in ids if identity.startswith("poison")]
    assert list(editions.verify(edition)) == []


KILLER = """
import importlib.abc, importlib.util, os, signal, sys
PLACES = {
    "kartoteka.documents": ("normalise", "KILL NORMALISE"),
    "kartoteka.stages.analyse": ("content_stems", "KILL STEM"),
}

def arm(module, name, mark):
    real = getattr(module, name)
    def deadly(text, *rest):
        if mark in text:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(text, *rest)
    setattr(module, name, deadly)

class Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name not in PLACES:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        sys.meta_path.insert(0, self)
        run = spec.loader.exec_module
        def exec_module(module):
            run(module)
            arm(module, *PLACES[name])
        spec.loader.exec_module = exec_module
        return spec

sys.meta_path.insert(0, Finder())
"""
