"""CSV and TSV: a header, then one record per row; a quoted field may hold delimiters and line feeds (RFC 4180)."""

from __future__ import annotations

import codecs
import csv
import io
from collections import Counter, deque
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from kartoteka.documents import ReadSettings, Reason, Refusal, missing_columns
from kartoteka.sources.files import SourceError, SourceFile, beginning, first_line, opened
from kartoteka.sources.lines import Line, Readable, read_lines

csv.field_size_limit(2**31 - 1)  # the cap on whole records bounds a field too


def check(file: SourceFile, settings: ReadSettings) -> None:
    """Raise `SourceError` unless the file has a header that names what a document needs, and a row."""
    records = _records(io.BytesIO(beginning(file)), _delimiter(file, settings), settings.max_record_bytes)
    _header(file, records, settings)
    if next(records, None) is None:
        raise SourceError(f"{file.path}: a header and no rows")


def read(file: SourceFile, settings: ReadSettings) -> Iterator[tuple[str, dict[str, Any] | Refusal, bytes]]:
    """The rows of the file, each by the number of the line where it starts; the header is line 1."""
    source = f"{file.name}:1"
    with opened(file) as stream:
        try:
            records = _records(stream, _delimiter(file, settings), settings.max_record_bytes)
            header = _header(file, records, settings)
            for number, fields, raw in records:
                source = f"{file.name}:{number}"
                if isinstance(fields, Refusal):
                    yield source, fields, raw
                elif len(fields) != len(header):
                    detail = f"{len(fields)} fields where the header has {len(header)}"
                    yield source, Refusal(Reason.BAD_CSV, detail), raw
                else:
                    yield source, dict(zip(header, fields, strict=True)), raw
        except (OSError, pa.ArrowException) as error:
            raise SourceError(f"{file.path}: cannot be read on after {source}: {first_line(error)}") from None


def _delimiter(file: SourceFile, settings: ReadSettings) -> str:
    return settings.delimiter or ("\t" if file.format == "tsv" else ",")


def _header(file: SourceFile, records: Iterator[_Record], settings: ReadSettings) -> list[str]:
    header = next(records, (1, Refusal(Reason.EMPTY_TEXT, "no header"), b""))[1]
    if isinstance(header, Refusal):
        raise SourceError(f"{file.path}: the header cannot be read: {header.detail}")
    other = next((other for other in ";\t,|" if other in header[0]), None) if len(header) == 1 else None
    if other is not None:
        seen = f"the header is one column, {header[0][:100]!r}"
        raise SourceError(f"{file.path}: {seen}: is {other!r} the delimiter? (setting `delimiter`)")
    repeated = [name for name, times in Counter(name for name in header if name).items() if times > 1]
    if repeated:
        raise SourceError(f"{file.path}: the header names {repeated[0]!r} twice")
    if missing := missing_columns(header, settings):
        raise SourceError(f"{file.path}: {missing}; the header has {', '.join(header)[:200]}")
    return header


#: number of its first line, fields or why there are none, raw bytes
_Record = tuple[int, "list[str] | Refusal", bytes]


class _TooLong(Exception):
    """A record has grown past the cap."""


def _records(stream: Readable, delimiter: str, cap: int) -> Iterator[_Record]:
    """The records of a CSV text; blank lines are none.

    A stray quotation mark makes the parser take the lines after it for one field. So when the quotes of a record of
    several lines are wrong, only its first line is refused, and the others are read again on their own.
    """
    lines = enumerate(read_lines(stream, cap), start=1)
    again: deque[tuple[int, Line]] = deque()
    while True:
        taken: list[tuple[int, Line]] = []
        try:
            fields = next(csv.reader(_texts(lines, again, taken, cap), delimiter=delimiter, strict=True), None)
            wrong = _encoding(taken)
        except _TooLong:
            fields, wrong = None, _length(taken, cap)
        except csv.Error as error:
            fields, wrong = None, Refusal(Reason.BAD_CSV, str(error))
            if delimiter == "\t":  # most TSV has no quoting: then a quotation mark is one
                fields = taken[0][1].data.decode(errors="surrogateescape").rstrip("\r").split("\t")
                wrong = _encoding(taken[:1])
                again.extendleft(reversed(taken[1:]))
                del taken[1:]
        if not taken:
            return
        if fields is None:
            again.extendleft(reversed(taken[1:]))
            del taken[1:]
        if fields or wrong:
            yield taken[0][0], wrong or fields, b"\n".join(line.data for _, line in taken)


def _texts(
    lines: Iterator[tuple[int, Line]], again: deque[tuple[int, Line]], taken: list[tuple[int, Line]], cap: int
) -> Iterator[str]:
    """Lines for the parser, first those to be read again; each is noted in `taken`. Raises `_TooLong`."""
    length = 0
    while item := again.popleft() if again else next(lines, None):
        taken.append(item)
        number, line = item
        length += line.length + 1
        if length > cap + 1:
            raise _TooLong
        data = line.data.removeprefix(codecs.BOM_UTF8) if number == 1 else line.data
        yield data.removesuffix(b"\r").decode(errors="surrogateescape") + "\n"


def _encoding(taken: list[tuple[int, Line]]) -> Refusal | None:
    for number, line in taken:
        try:
            line.data.decode()
        except UnicodeDecodeError as wrong:
            detail = f"byte {line.data[wrong.start]:#04x} at {wrong.start} of line {number} is not UTF-8"
            return Refusal(Reason.BAD_ENCODING, detail)
    return None


def _length(taken: list[tuple[int, Line]], cap: int) -> Refusal:
    line = taken[0][1]
    if line.length <= cap:
        return Refusal(Reason.BAD_CSV, f"a quotation mark opened here is not closed within {cap} bytes")
    detail = f"a line of {line.length} bytes (at most {cap}) at byte {line.offset}; its first {len(line.data)} are kept"
    return Refusal(Reason.TOO_LONG, detail)
