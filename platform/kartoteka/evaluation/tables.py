"""Reading what is evaluated: gold documents as a stream, predictions as one compact table looked up by id.

Both are Parquet or JSON Lines (plain, .gz, .zst), one file or a folder of them, or a table of an edition. Raises
`ValueError` that names the file and the row wherever a file cannot be read or does not hold what it should.
"""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import zstandard

_SUFFIXES = (".parquet", ".jsonl", ".jsonl.gz", ".jsonl.zst")
_BATCH = 2048

#: Where a table comes from: a file, a folder of files, or a dataset (`Edition.table`).
Origin = str | os.PathLike[str] | ds.Dataset


@dataclass(frozen=True, slots=True)
class GoldDocument:
    """A document with its reference keyphrases; `lang` is `""` where the file does not say, `collection` likewise."""

    id: str
    title: str
    abstract: str
    keyphrases: list[str]
    lang: str
    collection: str


@dataclass(frozen=True)
class Predictions:
    """Ranked phrases by document id, and the probability of each where the file has `score`s."""

    name: str
    rows: dict[str, int]
    offsets: Sequence[int]
    phrases: pa.ChunkedArray
    scores: pa.ChunkedArray | None

    def get(self, document: str) -> tuple[list[str], list[float] | None] | None:
        """Phrases and scores of a document; `None` where the file has no row for it."""
        row = self.rows.get(document)
        if row is None:
            return None
        start, length = self.offsets[row], self.offsets[row + 1] - self.offsets[row]
        scores = None if self.scores is None else self.scores.slice(start, length).to_pylist()
        return self.phrases.slice(start, length).to_pylist(), scores


def read_gold(origin: Origin) -> Iterator[GoldDocument]:
    """The documents of `origin` in order, annotated or not.

    Fields: id, title, abstract, keyphrases, and where present lang, and collection or source. Duplicate ids are an
    error.
    """
    seen: set[str] = set()
    for where, row in records(origin, ("id", "title", "abstract", "keyphrases", "lang", "collection", "source")):
        document = _id(row, where, seen)
        texts = []
        for field in ("title", "abstract"):
            value = row.get(field)
            if value is not None and not isinstance(value, str):
                raise ValueError(f"{where}: `{field}` is not a string")
            texts.append(value or "")
        if "title" not in row and "abstract" not in row:
            raise ValueError(f"{where}: neither `title` nor `abstract`: is this the gold file?")
        phrases, _ = _phrases(row, where, required=False)
        yield GoldDocument(document, texts[0], texts[1], phrases, row.get("lang") or "", _collection(row))


def read_predictions(origin: Origin, name: str | None = None) -> Predictions:
    """All predictions of `origin`: id, and `keyphrases` as strings or structs of `phrase` and `score`, best first.

    Scores are kept when every phrase has one. `name`: how reports call it; the path by default.
    """
    seen: set[str] = set()
    rows: dict[str, int] = {}
    offsets = [0]
    phrases: list[pa.Array] = []
    scores: list[pa.Array] = []
    held: list[str] = []
    held_scores: list[float | None] = []
    for where, row in records(origin, ("id", "keyphrases")):
        rows[_id(row, where, seen)] = len(rows)
        given, given_scores = _phrases(row, where, required=True)
        held += given
        held_scores += given_scores
        offsets.append(offsets[-1] + len(given))
        if len(held) > 100_000:
            phrases.append(pa.array(held, pa.string()))
            scores.append(pa.array(held_scores, pa.float64()))
            held, held_scores = [], []
    phrases.append(pa.array(held, pa.string()))
    scores.append(pa.array(held_scores, pa.float64()))
    all_scores = pa.chunked_array(scores)
    scored = len(all_scores) > 0 and all_scores.null_count == 0
    called = name or ("predictions" if isinstance(origin, ds.Dataset) else os.fspath(origin))
    return Predictions(called, rows, offsets, pa.chunked_array(phrases), all_scores if scored else None)


def _id(row: dict[str, Any], where: str, seen: set[str]) -> str:
    value = row.get("id")
    if not isinstance(value, (str, int)) or isinstance(value, bool):
        raise ValueError(f"{where}: `id` is missing")
    name = str(value)
    if name in seen:
        raise ValueError(f"{where}: `id` {name!r} occurs twice")
    seen.add(name)
    return name


def _phrases(row: dict[str, Any], where: str, required: bool) -> tuple[list[str], list[float | None]]:
    value = row.get("keyphrases")
    if value is None:
        if required and "keyphrases" not in row:
            raise ValueError(f"{where}: `keyphrases` is missing")
        return [], []
    if not isinstance(value, list):
        raise ValueError(f"{where}: `keyphrases` is not a list")
    phrases, scores = [], []
    for item in value:
        phrase, score = (item.get("phrase"), item.get("score")) if isinstance(item, dict) else (item, None)
        if not isinstance(phrase, str):
            raise ValueError(f"{where}: `keyphrases` holds {phrase!r}, not a string or a struct with a `phrase`")
        if score is not None and (isinstance(score, bool) or not isinstance(score, (int, float))):
            raise ValueError(f"{where}: `keyphrases` has the score {score!r}, not a number")
        phrases.append(phrase)
        scores.append(score)
    return phrases, scores


def _collection(row: dict[str, Any]) -> str:
    if isinstance(row.get("collection"), str):
        return row["collection"]
    source = row.get("source")
    # `archive.jsonl.zst:1234` and `acm-cr:data/x.bib` are both of the collection before the colon; `s3://` is not one.
    return "" if not isinstance(source, str) or "://" in source else source.split(":", 1)[0]


def files_of(path: str | os.PathLike[str]) -> list[Path]:
    """The file itself, or the readable files of a folder by name. Raises `ValueError` when there is none."""
    path = Path(path)
    if path.is_dir():
        found = sorted(f for f in path.iterdir() if f.name.endswith(_SUFFIXES) and not f.name.startswith("."))
        if not found:
            raise ValueError(f"{path}: no {', '.join(_SUFFIXES)} file in this folder")
        return found
    if not path.is_file():
        raise ValueError(f"{path}: no such file or folder")
    if not path.name.endswith(_SUFFIXES):
        raise ValueError(f"{path}: not one of {', '.join(_SUFFIXES)}")
    return [path]


def records(origin: Origin, fields: tuple[str, ...]) -> Iterator[tuple[str, dict[str, Any]]]:
    """(file:row, record) of everything in `origin`, rows counted from 1 in each file."""
    if isinstance(origin, ds.Dataset):
        columns = [name for name in origin.schema.names if name in fields]
        batches = origin.to_batches(columns=columns, batch_size=_BATCH)
        rows = (row for batch in batches for row in _slim(batch).to_pylist())
        yield from ((f"row {number}", row) for number, row in enumerate(rows, start=1))
        return
    for file in files_of(origin):
        rows = _parquet(file, fields) if file.suffix == ".parquet" else _json_lines(file)
        for number, row in enumerate(rows, start=1):
            yield f"{file}:{number}", row


def _parquet(file: Path, fields: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    try:
        with pq.ParquetFile(file) as table:
            columns = [name for name in table.schema_arrow.names if name in fields]
            for batch in table.iter_batches(_BATCH, columns=columns):
                yield from _slim(batch).to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"{file}: not a readable Parquet file: {str(error).splitlines()[0]}") from None


def _slim(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Only `phrase` and `score` of keyphrase structs: the rest is an edition's explanations, and large."""
    index = batch.schema.get_field_index("keyphrases")
    if index < 0 or not pa.types.is_list(batch.schema.field(index).type):
        return batch
    column = batch.column(index)
    if not pa.types.is_struct(column.type.value_type):
        return batch
    flat = column.flatten()
    names = [name for name in ("phrase", "score") if flat.type.get_field_index(name) >= 0]
    if "phrase" not in names:
        raise ValueError("keyphrases: the structs have no `phrase`")
    lengths = pc.fill_null(pc.list_value_length(column), 0)
    offsets = pa.concat_arrays([pa.array([0], pa.int32()), pc.cumulative_sum(lengths).cast(pa.int32())])
    slim = pa.StructArray.from_arrays([flat.field(name) for name in names], names)
    return batch.set_column(index, "keyphrases", pa.ListArray.from_arrays(offsets, slim))


def _json_lines(file: Path) -> Iterator[dict[str, Any]]:
    number = 0
    try:
        for number, line in enumerate(_lines(file), start=1):
            if not line.strip():
                continue
            row = orjson.loads(line)
            if not isinstance(row, dict):
                raise ValueError(f"{file}:{number}: not a JSON object")
            yield row
    except orjson.JSONDecodeError as error:
        raise ValueError(f"{file}:{number}: not JSON: {error}") from None
    except (EOFError, OSError, zstandard.ZstdError) as error:
        raise ValueError(f"{file}: cannot be read after line {number}: {error}") from None


def _lines(file: Path) -> Iterator[bytes]:
    if file.name.endswith(".gz"):
        with gzip.open(file) as stream:
            yield from stream
    elif file.name.endswith(".zst"):
        tail = b""
        for chunk in _unzstd(file):
            *whole, tail = (tail + chunk).split(b"\n")
            yield from whole
        yield tail
    else:
        with file.open("rb") as stream:
            yield from stream


def _unzstd(file: Path) -> Iterator[bytes]:
    """Decompressed chunks, frame after frame; zstandard's own readers take a truncated frame for a whole one."""
    decompressor, frame = zstandard.ZstdDecompressor(), None
    with file.open("rb") as stream:
        while data := stream.read(1 << 17):
            while data:
                frame = frame or decompressor.decompressobj()
                yield frame.decompress(data)
                data, frame = (frame.unused_data, None) if frame.eof else (b"", frame)
    if frame is not None:
        raise EOFError("the zstd stream ends early")
