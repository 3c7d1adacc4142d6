"""A folder is there whole or not at all, and for all who can read the one it lies in."""

from __future__ import annotations

from pathlib import Path

import pytest

from kartoteka.folders import whole_folder


def test_files_are_readable_as_the_folder_is(tmp_path: Path) -> None:
    with whole_folder(tmp_path / "model") as folder:
        (folder / "encoder").mkdir()
        for name in ("card", "encoder/weights"):
            (folder / name).write_text(name)
            (folder / name).chmod(0o600)
        folder.chmod(0o750)
    for name in ("card", "encoder/weights"):
        assert (tmp_path / "model" / name).read_text() == name
        assert (tmp_path / "model" / name).stat().st_mode & 0o777 == 0o640


def test_an_error_leaves_what_was_there(tmp_path: Path) -> None:
    with whole_folder(tmp_path / "model") as folder:
        (folder / "card").write_text("old")
    with pytest.raises(OSError, match="full"):
        fill(tmp_path / "model")
    assert [file.name for file in tmp_path.iterdir()] == ["model"]
    assert (tmp_path / "model/card").read_text() == "old"


def fill(target: Path) -> None:
    """As on a disk that has room for one file."""
    with whole_folder(target) as folder:
        (folder / "card").write_text("new")
        raise OSError("full")
