"""JSON Lines: one record per line, plain (in byte ranges) or compressed."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator
from typing import Any

import orjson
import pyarrow as pa

from kartoteka.documents import ReadSettings, Reason, Refusal, is_binary
from kartoteka.sources.files import SourceError, SourceFile, beginning, first_line, opened
from kartoteka.sources.lines import Line, read_lines


def check(file: SourceFile) -> None:
    """Raise `SourceError` unless the file begins as JSON Lines do."""
    head = beginning(file)
    if head.lstrip().startswith(b"["):
        raise SourceError(f"{file.path}: begins with `[`: one JSON array, not one object per line")


def read(
    file: SourceFile, start: int, stop: int, settings: ReadSettings
) -> Iterator[tuple[str, dict[str, Any] | Refusal, bytes]]:
    """The rows whose lines start in bytes [start, stop) of the file (a compressed file is read whole)."""
    whole = start == 0 and stop == file.size
    number, source = 0, f"{file.name}@{start}"
    with opened(file, compressed=file.compression is not None) as stream:
        try:
            for line in _lines(stream, file, start, stop, settings.max_record_bytes):
                number += 1
                source = f"{file.name}:{number}" if whole else f"{file.name}@{line.offset}"
                data = line.data.removeprefix(codecs.BOM_UTF8) if line.offset == 0 else line.data
                if data and not data.isspace():
                    yield source, _parse(line, data, settings.max_record_bytes), line.data
        except (OSError, pa.ArrowException) as error:
            raise SourceError(f"{file.path}: cannot be read on after {source}: {first_line(error)}") from None


def _lines(stream: pa.NativeFile, file: SourceFile, start: int, stop: int, cap: int) -> Iterator[Line]:
    if file.compression is not None:
        yield from read_lines(stream, cap)
        return
    # The byte before the split tells whether a line starts with the split; the line it belongs to is the neighbour's.
    begin = max(0, start - 1)
    stream.seek(begin)
    lines = read_lines(stream, cap, begin, stop)
    if start:
        next(lines, None)
    yield from lines


def _parse(line: Line, data: bytes, cap: int) -> dict[str, Any] | Refusal:
    if line.length > cap:
        kept = f"its first {len(line.data)} are kept here"
        return Refusal(Reason.TOO_LONG, f"a line of {line.length} bytes (at most {cap}) at byte {line.offset}; {kept}")
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        value = _salvage(data, error)
    if isinstance(value, dict | Refusal):
        return value
    return Refusal(Reason.NOT_AN_OBJECT, f"a record must be an object, not {type(value).__name__}")


def _salvage(data: bytes, error: orjson.JSONDecodeError) -> Any:
    """The value of a line with raw control characters in its strings (broken exports have them), or what is wrong."""
    try:
        text = data.decode()
    except UnicodeDecodeError as wrong:
        return Refusal(Reason.BAD_ENCODING, f"byte {data[wrong.start]:#04x} at {wrong.start} is not UTF-8")
    if is_binary(text):
        return Refusal(Reason.BINARY, "the line is mostly control characters")
    try:
        value = json.loads(text, strict=False)
        orjson.dumps(value)
    except orjson.JSONEncodeError as wrong:
        return Refusal(Reason.BAD_ENCODING, str(wrong))
    except (ValueError, RecursionError):
        return Refusal(Reason.BAD_JSON, str(error))
    return value
