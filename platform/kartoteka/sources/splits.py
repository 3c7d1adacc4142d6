"""An archive cut into splits, the units of reading: every row belongs to exactly one of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from kartoteka.documents import ReadSettings, Refusal
from kartoteka.sources import delimited, jsonl, parquet
from kartoteka.sources.files import SourceFile, find

#: `source` (file and row), the record or why there is none, and the row as it was read
Row = tuple[str, dict[str, Any] | Refusal, bytes]
DEFAULTS = ReadSettings()


@dataclass(frozen=True, slots=True)
class Split:
    """A part of one file: its rows that start in bytes [start, stop), or row groups [start, stop) of a Parquet file.

    A file that cannot be entered in its middle (compressed, CSV) is one split.
    """

    file: SourceFile
    start: int
    stop: int


def plan(paths: Sequence[str], settings: ReadSettings = DEFAULTS) -> list[Split]:
    """The splits of all files named by `paths` (see `files.find`), in their order: the same input gives the same list.

    Every file is opened and its beginning read. Raises `ValueError` naming the file: it is missing, empty, not what
    its suffix says, in another encoding or with another delimiter, or lacks a column.
    """
    return [Split(file, *span) for file in find(paths) for span in _spans(file, settings)]


def read(split: Split, settings: ReadSettings = DEFAULTS) -> Iterator[Row]:
    """The rows of a split, streamed; a row that cannot be read comes as a `Refusal`, and reading goes on.

    `source` is `name:row`, counted from 1: the line where the row starts, or the row of a Parquet file. In a file of
    several byte splits, where no one has counted the lines, it is `name@byte`.
    Raises `SourceError` naming the file and the last row that was read: it is truncated or corrupt, or has changed.
    """
    match split.file.format:
        case "jsonl":
            return jsonl.read(split.file, split.start, split.stop, settings)
        case "parquet":
            return parquet.read(split.file, split.start, split.stop)
        case _:
            return delimited.read(split.file, settings)


def _spans(file: SourceFile, settings: ReadSettings) -> list[tuple[int, int]]:
    match file.format:
        case "jsonl":
            jsonl.check(file)
            step = settings.split_bytes if file.compression is None else file.size
            return [(start, min(start + step, file.size)) for start in range(0, file.size, step)]
        case "parquet":
            return parquet.spans(file, settings)
        case _:
            delimited.check(file, settings)
            return [(0, file.size)]
