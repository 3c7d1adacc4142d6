"""Completions, their arithmetic, and files that are whole or absent."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from kartoteka.edition import FORMAT
from kartoteka.flow.build import Build
from kartoteka.flow.ledger import Completion, Ledger, add_facts, wall_seconds
from kartoteka.storage import Storage


def test_an_attempt_counts_until_its_part_is_through(tmp_path: Path) -> None:
    ledger = Ledger(Storage(tmp_path))
    assert [ledger.begin("stage", "part-1") for _ in range(3)] == [0, 1, 2]
    assert ledger.begin("stage", "part-2") == 0
    ledger.end("stage", "part-1")
    assert ledger.begin("stage", "part-1") == 0


def test_a_completion_comes_back_as_it_was(tmp_path: Path) -> None:
    ledger = Ledger(Storage(tmp_path))
    done = Completion("part-1", 5, 4, 1, 0.5, 0.25, 9.0, {"languages": {"ru": 4}}, {"a": {"bytes": 1, "sha256": "x"}})
    ledger.commit("stage", done)
    assert ledger.done("stage") == {"part-1": done}
    assert ledger.is_done("stage", "part-1")
    assert not ledger.is_done("stage", "part-2")


def test_facts_add_up_at_every_depth() -> None:
    assert add_facts({"a": 1, "l": {"ru": 2}}, {"b": 3, "l": {"ru": 1, "en": 5}}) == {
        "a": 1,
        "b": 3,
        "l": {"ru": 3, "en": 5},
    }


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 20)), max_size=12))
def test_wall_seconds_are_the_seconds_in_which_any_part_was_worked_on(spans: list[tuple[int, int]]) -> None:
    busy = {second for start, length in spans for second in range(start, start + length)}
    parts = [Completion("p", seconds=length, finished=start + length) for start, length in spans]
    assert wall_seconds(parts) == pytest.approx(len(busy))


def test_a_failed_write_leaves_neither_a_torn_file_nor_rubbish(tmp_path: Path) -> None:
    storage = Storage(tmp_path)
    storage.put("a/file", b"old")
    with pytest.raises(TypeError):
        storage.put("a/file", "not bytes")  # type: ignore[arg-type]
    assert storage.get("a/file") == b"old"
    assert os.listdir(tmp_path / "a") == ["file"]


def test_equal_tables_are_equal_files(tmp_path: Path) -> None:
    table = pa.table({"a": ["x", "y"], "b": [1.0, 2.0]})
    storage = Storage(tmp_path.as_uri())
    assert storage.put_table("one.parquet", table).sha256 == storage.put_table("two.parquet", table).sha256
    assert storage.table("one.parquet").equals(table)
    assert storage.put_table("small/three.parquet", table, 1) == storage.put_table("small/four.parquet", table, 1)
    assert storage.table("small/three.parquet").equals(table)
    assert storage.list("", ".parquet") == ["one.parquet", "two.parquet"]


def test_a_build_of_another_plan_or_format_is_refused(tmp_path: Path, monkeypatch) -> None:
    console = Console(quiet=True)
    first = Build(Storage(tmp_path / "e"), {"k": 1}, console)
    assert not first.is_complete()
    with (
        first.locked(),
        pytest.raises(ValueError, match="another run is working"),
        Build(first.storage, {"k": 1}, console).locked(),
    ):
        pass
    assert not Build(Storage(tmp_path / "e"), {"k": 1}, console).is_complete()
    with pytest.raises(ValueError, match="unfinished run of another configuration"):
        Build(Storage(tmp_path / "e"), {"k": 2}, console).is_complete()
    monkeypatch.setattr("kartoteka.flow.build.FORMAT", FORMAT - 1)
    with pytest.raises(ValueError, match="unfinished run of another configuration, inputs or version"):
        Build(Storage(tmp_path / "e"), {"k": 1}, console).is_complete()


def test_what_a_killed_run_left_is_swept_away(tmp_path: Path) -> None:
    build = Build(Storage(tmp_path), {"k": 1}, Console(quiet=True))
    (tmp_path / "documents").mkdir()
    (tmp_path / "documents" / ".abc.tmp").write_bytes(b"torn")
    (tmp_path / "lexical" / ".shard-0000.abc.tmp").mkdir(parents=True)
    with build.locked():
        assert not list(tmp_path.rglob("*.tmp"))


def test_a_place_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ValueError, match="edition: cannot write to"):
        Storage(tmp_path / "file" / "edition").check_writable()
