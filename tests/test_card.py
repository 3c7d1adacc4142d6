"""One document as a card, and `kartoteka inspect` over whole and damaged editions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner

from jobs.inspect import inspect
from kartoteka import edition as editions
from kartoteka.card import Neighbour, cards, render
from kartoteka.documents import DOCUMENT_SCHEMA, KEYPHRASES_SCHEMA
from kartoteka.storage import Storage

EVIL = "[bold]Red\x1b[31m title\x07"


def _document(identity: str, **values: Any) -> dict[str, Any]:
    row = {
        "id": identity,
        "title": f"On {identity}",
        "abstract": "An abstract.",
        "lang": "en",
        "year": 1999,
        "source": "a.csv:2",
    }
    return {**row, "keyphrases": [], "references": [], "added": None, "extra": "{}", **values}


def _phrase(phrase: str, score: float, **values: Any) -> dict[str, Any]:
    row = {
        "phrase": phrase,
        "score": score,
        "category": "unseen",
        "origins": ["neighbour"],
        "neighbours": [],
        "concept": None,
    }
    return {**row, **values}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    documents = [_document("a", keyphrases=["own words"]), _document("b"), _document(EVIL, title=EVIL, year=None)]
    phrases = [
        _phrase("card catalogues", 0.75, neighbours=["b", "gone", EVIL, "a"], concept="https://example.org/1"),
        _phrase(EVIL, 0.25, origins=["extracted"], category="present"),
    ]
    storage, files = Storage(tmp_path / "edition"), {}
    for part, row in enumerate(documents):
        name = f"documents/part-{part:05d}.parquet"
        files[name] = storage.put_table(name, pa.Table.from_pylist([row], schema=DOCUMENT_SCHEMA)).as_dict()
    name = "keyphrases/part-00000.parquet"
    explained = [{"id": "a", "keyphrases": phrases}, {"id": "b", "keyphrases": []}]
    files[name] = storage.put_table(name, pa.Table.from_pylist(explained, schema=KEYPHRASES_SCHEMA)).as_dict()
    manifest = {
        "format": editions.FORMAT,
        "files": files,
        "created": "2026-01-02T03:04:05+00:00",
        "config_hash": "cafe",
        "counts": {"read": 3, "documents": 3, "quarantined": 0, "languages": {"en": 3}},
        "models": {"encoder": {"name": EVIL, "sha256": "ab" * 32}},
        "stages": [{"name": "read", "rows_in": 3, "rows_out": 3, "seconds": 1.5}],
        "quality": {"metrics": {"F1@5": {"value": 0.324, "low": 0.3, "high": 0.35}, "F1@10": {"value": 0.268}}},
    }
    storage.put_json(editions.MANIFEST, manifest)
    return tmp_path / "edition"


def _run(*arguments: str) -> Any:
    app = typer.Typer()
    app.command("inspect")(inspect)
    return CliRunner().invoke(app, list(arguments), env={"COLUMNS": "100", "TERM": "dumb"})


def _shown(card: Any, width: int = 80) -> str:
    console = Console(width=width, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(render(card))
    return console.export_text()


def test_a_card_knows_why(folder: Path) -> None:
    found = cards(editions.open(folder), ["b", "a", "nowhere"])
    assert list(found) == ["b", "a"]
    card = found["a"]
    assert card.own == ("own words",)
    assert card.year == 1999
    assert card.keyphrases is not None
    first = card.keyphrases[0]
    assert first.phrase == "card catalogues"
    assert first.score == 0.75
    assert first.neighbours == (
        Neighbour("b", "On b"),
        Neighbour("gone", None),
        Neighbour(EVIL, EVIL),
        Neighbour("a", "On a"),
    )
    assert found["b"].keyphrases == ()


def test_a_document_that_has_no_row_of_keyphrases(folder: Path) -> None:
    card = cards(editions.open(folder), [EVIL])[EVIL]
    assert card.keyphrases is None
    assert "no keyphrases in this edition" in _shown(card)


def test_the_card_in_a_terminal(folder: Path) -> None:
    text = _shown(cards(editions.open(folder), ["a"])["a"])
    for line in (
        "On a",
        "own words",
        "████████░░ 0.75  card catalogues  unseen · neighbour",
        "↳ On b",
        "↳ gone",
        "and 1 more",
    ):
        assert line in text, line
    assert "= https://example.org/1" in text
    assert all(len(line) <= 80 for line in text.splitlines())


@pytest.mark.parametrize("width", [30, 200])
def test_a_card_of_any_width(folder: Path, width: int) -> None:
    text = _shown(cards(editions.open(folder), ["a"])["a"], width)
    assert all(len(line) <= width for line in text.splitlines())


def test_a_record_cannot_drive_the_terminal(folder: Path) -> None:
    for arguments in ([str(folder), "--id", EVIL], [str(folder), "--id", "a"], [str(folder)]):
        result = _run(*arguments)
        assert result.exit_code == 0
        assert "\x1b[31m" not in result.output
        assert "\x07" not in result.output
        assert "[bold]Red" in result.output


def test_a_whole_edition(folder: Path) -> None:
    result = _run(str(folder))
    assert result.exit_code == 0, result.output
    assert "whole: 4 files as the manifest says" in result.stdout
    assert "32.4" in result.stdout
    assert "30.0 – 35.0" in result.stdout
    assert "read" in result.stdout
    assert "1.5 s" in result.stdout


def test_scores_that_are_no_probabilities_are_marked_wherever_they_are_shown(folder: Path) -> None:
    storage = Storage(folder)
    manifest = storage.get_json(editions.MANIFEST)
    assert "no probabilities" not in _run(str(folder), "--id", "a").output
    storage.put_json(editions.MANIFEST, manifest | {"quality": {"system": "prior", "calibrated": False}})
    for arguments in ([str(folder)], [str(folder), "--id", "a"]):
        assert "no probabilities" in _run(*arguments).output
    assert json.loads(_run(str(folder), "--id", "a", "--json").stdout)["calibrated"] is False
    assert json.loads(_run(str(folder), "--json").stdout)["quality"]["calibrated"] is False


def _damage(folder: Path) -> None:
    flipped = folder / "documents/part-00001.parquet"
    data = bytearray(flipped.read_bytes())
    data[len(data) // 2] ^= 1
    flipped.write_bytes(data)
    (folder / "documents/part-00002.parquet").unlink()
    (folder / "documents/part-00009.parquet").write_bytes(b"?")


def test_damage_is_named(folder: Path) -> None:
    _damage(folder)
    result = _run(str(folder))
    assert result.exit_code == 1
    for fault in (
        "changed: documents/part-00001.parquet",
        "missing: documents/part-00002.parquet",
        "extra: documents/part-00009.parquet",
    ):
        assert fault in result.stdout
    assert "part-00000" not in result.stdout
    assert _run(str(folder), "--no-verify").exit_code == 0


def test_damage_as_json(folder: Path) -> None:
    _damage(folder)
    result = _run(str(folder), "--json")
    assert result.exit_code == 1
    assert {fault["what"] for fault in json.loads(result.stdout)["faults"]} == {"changed", "missing", "extra"}


def test_a_card_from_a_torn_edition_is_one_line(folder: Path) -> None:
    (folder / "keyphrases/part-00000.parquet").write_bytes(b"PAR1 torn")
    result = _run(str(folder), "--id", "a")
    assert result.exit_code == 1
    assert len(result.stderr.strip().splitlines()) == 1
    assert "is damaged" in result.stderr


def test_json_of_edition_and_card(folder: Path) -> None:
    whole = json.loads(_run(str(folder), "--json").stdout)
    assert whole["counts"]["documents"] == 3
    assert whole["faults"] == []
    card = json.loads(_run(str(folder), "--json", "--id", "a").stdout)
    assert card["keyphrases"][0]["neighbours"][0] == {"id": "b", "title": "On b"}
    assert "faults" not in card


@pytest.mark.parametrize("arguments", [["--id", "nowhere"], ["--id", ""]])
def test_an_unknown_document_is_one_line(folder: Path, arguments: list[str]) -> None:
    result = _run(str(folder), *arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize("content", [None, b"", b"{", b"[]", b'{"format": 99}'])
def test_what_is_not_an_edition_is_one_line(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "manifest.json").write_bytes(content)
    result = _run(str(tmp_path))
    assert result.exit_code == 2
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1


def test_a_minimal_manifest(tmp_path: Path) -> None:
    Storage(tmp_path).put_json(editions.MANIFEST, {"format": editions.FORMAT, "files": {}})
    result = _run(str(tmp_path))
    assert result.exit_code == 0, result.output
    assert "not measured" in result.stdout
