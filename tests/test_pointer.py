"""The pointer to the edition that is served."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kartoteka import pointer


def test_an_edition_beside_the_pointer_is_named_without_its_folder(tmp_path: Path) -> None:
    (tmp_path / "2026").mkdir()
    where = pointer.beside(str(tmp_path / "2026"))
    assert where == str(tmp_path / "current.json")
    pointer.move(where, str(tmp_path / "2026"))
    assert json.loads(Path(where).read_text())["edition"] == "2026"
    assert pointer.resolve(where) == str(tmp_path / "2026")
    moved = tmp_path.with_name(tmp_path.name + "-moved")
    tmp_path.rename(moved)
    assert pointer.resolve(moved / "current.json") == str(moved / "2026")


def test_an_edition_elsewhere_is_named_whole(tmp_path: Path) -> None:
    where = tmp_path / "pointers" / "current.json"
    pointer.move(where, "s3://bucket/editions/2026")
    assert pointer.resolve(where) == "s3://bucket/editions/2026"
    assert pointer.read(where)["promoted"].endswith("Z")


def test_an_edition_stands_for_itself(tmp_path: Path) -> None:
    assert pointer.resolve(tmp_path) == str(tmp_path)


@pytest.mark.parametrize("content", [None, "", "[]", "{}", '"2026"', '{"edition": 3}'])
def test_what_is_no_pointer_is_named(tmp_path: Path, content: str | None) -> None:
    where = tmp_path / "current.json"
    if content is not None:
        where.write_text(content)
    with pytest.raises(ValueError, match=r"edition: .*current\.json"):
        pointer.resolve(where)
