"""Bad input to `reindex`: one clear line and exit code 2 before any work, or a quarantined row; never a stack trace."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from kartoteka import edition as editions

Run = Callable[..., subprocess.CompletedProcess[str]]
GOOD = '{"id": "a", "title": "A title", "abstract": "An abstract about heat transfer."}\n'


def empty(folder: Path) -> list[object]:
    (folder / "in.jsonl").write_text("")
    return [folder / "in.jsonl"]


def wrong_delimiter(folder: Path) -> list[object]:
    (folder / "in.csv").write_text("id;title;abstract\n1;a;b\n")
    return [folder / "in.csv"]


def missing_columns(folder: Path) -> list[object]:
    pq.write_table(pa.table({"id": ["1"], "colour": ["red"]}), folder / "in.parquet")
    return [folder / "in.parquet"]


def truncated_parquet(folder: Path) -> list[object]:
    pq.write_table(pa.table({"id": ["1"], "title": ["a"]}), folder / "in.parquet")
    whole = (folder / "in.parquet").read_bytes()
    (folder / "in.parquet").write_bytes(whole[:-20])
    return [folder / "in.parquet"]


def missing_path(folder: Path) -> list[object]:
    return [folder / "nowhere.jsonl"]


def unknown_suffix(folder: Path) -> list[object]:
    (folder / "in.docx").write_text("x")
    return [folder / "in.docx"]


def unknown_key(folder: Path) -> list[object]:
    (folder / "in.jsonl").write_text(GOOD)
    (folder / "bad.toml").write_text("[encoding]\ntoken_bugdet = 5\n")
    return [folder / "in.jsonl", "--config", folder / "bad.toml"]


def wrong_type(folder: Path) -> list[object]:
    (folder / "in.jsonl").write_text(GOOD)
    (folder / "bad.toml").write_text('[flow]\npart_rows = "many"\n')
    return [folder / "in.jsonl", "--config", folder / "bad.toml"]


CASES = {
    empty: "is empty",
    wrong_delimiter: "in.csv",
    missing_columns: "no column",
    truncated_parquet: "in.parquet",
    missing_path: "no such file",
    unknown_suffix: "unknown suffix",
    unknown_key: "unknown key `encoding.token_bugdet`",
    wrong_type: "`flow.part_rows`",
}


@pytest.mark.parametrize("make", CASES, ids=lambda make: make.__name__)
def test_what_is_wrong_is_one_line_before_any_work(
    make: Callable[[Path], list[object]], run: Run, tmp_path: Path
) -> None:
    result = run(*make(tmp_path), "--edition", tmp_path / "e")
    assert result.returncode == 2, result.stdout + result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert CASES[make] in result.stderr
    assert not (tmp_path / "e" / "_build").exists()


def test_a_directory_that_is_no_model(run: Run, tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text(GOOD)
    (tmp_path / "model").mkdir()
    result = run(tmp_path / "in.jsonl", "--edition", tmp_path / "e", encoder=tmp_path / "model")
    assert result.returncode == 2
    assert result.stderr.startswith("encoder: ")
    assert len(result.stderr.strip().splitlines()) == 1


def test_a_place_that_cannot_be_written(run: Run, tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text(GOOD)
    result = run(tmp_path / "in.jsonl", "--edition", tmp_path / "in.jsonl" / "e")
    assert result.returncode == 2
    assert "edition: cannot write to" in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_a_plan_that_no_node_can_run_is_refused(run: Run, tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text(GOOD)
    result = run(tmp_path / "in.jsonl", "--edition", tmp_path / "e", "--encoder-gpus", "2", "--dry-run")
    assert result.returncode == 2
    assert "1 CPU + 2 GPU" in result.stderr


def test_more_clusters_than_documents_are_refused_before_anything_is_embedded(run: Run, tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text(GOOD)
    (tmp_path / "many.toml").write_text("[clusters]\nk = 2\n")
    result = run(tmp_path / "in.jsonl", "--edition", tmp_path / "e", "--config", tmp_path / "many.toml")
    assert result.returncode == 2
    assert result.stderr.strip() == "clusters.k: 2 clusters of 1 documents"
    assert not (tmp_path / "e" / "_build" / "done" / "embed").exists()


def test_a_dry_run_says_what_would_be_done_and_does_nothing(run: Run, corpus: Path, tmp_path: Path) -> None:
    result = run(corpus, "--edition", tmp_path / "e", "--dry-run")
    assert result.returncode == 0
    assert "2 files" in result.stdout
    assert all(stage in result.stdout for stage in ("read", "embed", "analyse", "suggest"))
    assert not (tmp_path / "e").exists()


def test_an_archive_truncated_in_its_middle_is_named(run: Run, corpus: Path, tmp_path: Path) -> None:
    import random

    noise = random.Random(5)
    rows = [{"id": f"z{n}", "title": "Heat", "abstract": hex(noise.getrandbits(9999))} for n in range(300)]
    packed = zstandard.compress("\n".join(map(json.dumps, rows)).encode())
    (corpus / "c.jsonl.zst").write_bytes(packed[: len(packed) // 2])
    result = run(corpus, "--edition", tmp_path / "e")
    assert result.returncode == 2
    assert "c.jsonl.zst" in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "e" / "manifest.json").exists()


def test_hostile_rows_are_quarantined_whole_and_the_archive_needs_no_annotated_document(
    run: Run, tmp_path: Path
) -> None:
    huge = json.dumps({"id": "huge", "title": "t", "abstract": "word " * 10_000_000})
    lines = [
        GOOD.encode(),
        b'{"id": "nul", "title": "A title\\u0000 of several words", "abstract": "Text with a NUL in it."}\n',
        b'{"id": "utf8", "title": "caf\xe9", "abstract": "x"}\n',
        huge.encode() + b"\n",
        b"[1, 2]\n",
        b'{"id": "empty", "title": "", "abstract": " "}\n',
    ]
    (tmp_path / "in.jsonl").write_bytes(b"".join(lines))
    result = run(tmp_path / "in.jsonl", "--edition", tmp_path / "e")
    assert result.returncode == 0, result.stderr
    edition = editions.open(tmp_path / "e")
    assert edition.manifest["counts"]["reasons"] == {
        "bad_encoding": 1, "too_long": 1, "not_an_object": 1, "empty_text": 1,
    }  # fmt: skip
    rows = {row["reason"]: row["record"] for row in edition.table("quarantine").to_table().to_pylist()}
    assert rows["too_long"].strip() == huge.encode()
    documents = edition.table("documents").to_table().to_pylist()
    assert [row["id"] for row in documents] == ["a", "nul"]
    assert "\0" not in documents[1]["title"]
    assert edition.table("keyphrases").to_table().num_rows == 2
    assert edition.manifest["quality"] == {"system": "prior", "calibrated": False}
    assert "Scores are no probabilities" in result.stdout
