"""Parquet: one record per row, in ranges of row groups."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from kartoteka.documents import ReadSettings, Reason, Refusal, missing_columns, plain
from kartoteka.sources.files import SourceError, SourceFile, first_line, opened

BATCH_ROWS = 1_000


def spans(file: SourceFile, settings: ReadSettings) -> list[tuple[int, int]]:
    """Ranges of row groups, each of about `split_bytes` uncompressed bytes or one row group.

    Raises `SourceError`: not Parquet (or truncated: its index stands at the end), without rows, or without a column.
    """
    if not file.size:
        raise SourceError(f"{file.path}: the file is empty")
    with _table(file) as table:
        metadata = table.metadata
        names = table.schema_arrow.names
    if missing := missing_columns(names, settings):
        raise SourceError(f"{file.path}: {missing}; the columns are {', '.join(names)[:200]}")
    if not metadata.num_rows:
        raise SourceError(f"{file.path}: a table without rows")
    ends, size = [], 0
    for group in range(metadata.num_row_groups):
        size += metadata.row_group(group).total_byte_size
        if size >= settings.split_bytes or group + 1 == metadata.num_row_groups:
            ends.append(group + 1)
            size = 0
    return list(zip([0, *ends], ends, strict=False))


def read(file: SourceFile, start: int, stop: int) -> Iterator[tuple[str, dict[str, Any] | Refusal, bytes]]:
    """The rows of row groups [start, stop), each by its number in the file; `raw` is the row as JSON."""
    with _table(file) as table:
        number = sum(table.metadata.row_group(group).num_rows for group in range(start))
        try:
            for batch in table.iter_batches(BATCH_ROWS, row_groups=list(range(start, stop))):
                for record, raw in _rows(_readable(batch)):
                    number += 1
                    yield f"{file.name}:{number}", record, raw
        except (OSError, pa.ArrowException) as error:
            last = f"{file.name}:{number}"
            raise SourceError(f"{file.path}: cannot be read on after {last}: {first_line(error)}") from None


@contextmanager
def _table(file: SourceFile) -> Iterator[pq.ParquetFile]:
    with opened(file, compressed=False) as stream:
        try:
            table = pq.ParquetFile(stream, buffer_size=1 << 20)  # buffered: a column chunk is never read whole
        except (OSError, pa.ArrowException) as error:
            raise SourceError(f"{file.path}: not a Parquet file, or a truncated one: {first_line(error)}") from None
        yield table


def _readable(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The batch without nanoseconds, which Python's datetime does not have."""
    for i, field in enumerate(batch.schema):
        if pa.types.is_timestamp(field.type) and field.type.unit == "ns":
            column = batch.column(i).cast(pa.timestamp("us", field.type.tz), safe=False)
            batch = batch.set_column(i, field.name, column)
    return batch


def _rows(batch: pa.RecordBatch) -> Iterator[tuple[dict[str, Any] | Refusal, bytes]]:
    names = batch.schema.names
    try:
        columns = [column.to_pylist() for column in batch.columns]
    except UnicodeDecodeError as error:
        if batch.num_rows > 1:
            for i in range(batch.num_rows):
                yield from _rows(batch.slice(i, 1))
        else:
            yield _not_utf8(error), _as_it_lies(batch)
        return
    for values in zip(*columns, strict=True):
        record = dict(zip(names, values, strict=True))
        yield record, orjson.dumps(record, default=plain)


def _not_utf8(error: UnicodeDecodeError) -> Refusal:
    return Refusal(Reason.BAD_ENCODING, f"byte {error.object[error.start]:#04x} at {error.start} is not UTF-8")


def _as_it_lies(row: pa.RecordBatch) -> bytes:
    """A batch of one row as JSON whose texts keep their bytes; where its lists hold such texts, as an Arrow message."""
    record = {}
    for name, column in zip(row.schema.names, row.columns, strict=True):
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            text = column.cast(pa.large_binary())[0].as_py()
            record[name] = text and text.decode(errors="surrogateescape")
        else:
            try:
                record[name] = str(column[0])
            except UnicodeDecodeError:
                return row.serialize().to_pybytes()
    return json.dumps(record, ensure_ascii=False).encode(errors="surrogateescape")
