"""Read: archives streamed into numbered parts of raw rows, each row made a document or refused with its reason.

One task per split reads, in order, and cuts parts of a fixed number of rows; a pool of workers normalises them. The
name of a part says where it comes from (split and number), so parts do not depend on the workers.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa

from kartoteka.documents import ReadSettings, Refusal, from_record, quarantine_row, quarantine_table, to_table
from kartoteka.edition import BUILD
from kartoteka.flow.build import Build
from kartoteka.flow.ledger import Completion, Ledger
from kartoteka.flow.stage import Stage, Step
from kartoteka.flow.worker import pack_failure, to_ipc
from kartoteka.sources import Row, Split, read
from kartoteka.storage import Storage

#: Raw bytes from which a part is not filled further.
PART_BYTES = 64 << 20
#: Raw rows on their way: `value` is the parsed record or its refusal, later the document or its refusal, pickled.
RAW_SCHEMA = pa.schema([("source", pa.string()), ("raw", pa.binary()), ("value", pa.binary())])


@dataclass(frozen=True)
class Normalise(Step):
    """Raw records to Document values."""

    settings: ReadSettings
    name = "normalise"

    def apply(self, rows: pa.Table) -> pa.Table:
        """Replace `value` by the Document values, or by why there are none."""
        values = [
            value if isinstance(value, Refusal) else from_record(value, source, self.settings)
            for source, value in zip(
                rows["source"].to_pylist(), map(pickle.loads, rows["value"].to_pylist()), strict=True
            )
        ]
        return rows.set_column(2, "value", pa.array(map(pickle.dumps, values), pa.binary()))


class Read(Stage):
    """Raw parts in; Document rows and refusals out, kept in the build until ids are known to be unique."""

    name = "read"

    def __init__(self, settings: ReadSettings) -> None:
        self.steps = [Normalise(settings)]

    def load(self, storage: Storage, part: str, payload: bytes) -> pa.Table:
        """The raw rows as the reading task sent them."""
        with pa.ipc.open_stream(payload) as stream:
            return stream.read_all()

    def refusal(self, rows: pa.Table, row: int, reason: str, detail: str) -> dict[str, object]:
        """A raw row that could not be normalised, whole."""
        source, raw = rows["source"][row].as_py(), rows["raw"][row].as_py()
        return quarantine_row(Refusal(reason, detail), stage=self.name, source=source, record=raw)

    def write(self, storage: Storage, part: str, rows: pa.Table, refused: pa.Table) -> Completion:
        """Put the part's documents and refusals into the build."""
        values = [pickle.loads(value.as_py()) for value in rows["value"]]
        documents = to_table([value for value in values if not isinstance(value, Refusal)])
        refusals = [
            quarantine_row(value, stage=self.name, source=source, record=raw)
            for value, source, raw in zip(values, rows["source"].to_pylist(), rows["raw"].to_pylist(), strict=True)
            if isinstance(value, Refusal)
        ]
        refused = pa.concat_tables([refused, quarantine_table(refusals)])
        storage.put_table(documents_of(part), documents)
        storage.put_table(refusals_of(part), refused)
        return Completion(part, rows.num_rows + refused.num_rows - len(refusals), documents.num_rows, refused.num_rows)


def documents_of(part: str) -> str:
    """Where the rows of a part wait for the next stage."""
    return f"{BUILD}/documents/{part}.parquet"


def refusals_of(part: str) -> str:
    """Where the rows refused at reading wait."""
    return f"{BUILD}/refused/{part}.parquet"


@dataclass(frozen=True)
class ReadSplit:
    """The reading task: a split in, its raw parts out, those already done left out."""

    root: str
    splits: Sequence[Split]
    settings: ReadSettings
    part_rows: int
    done: frozenset[str]

    def __call__(self, row: dict[str, int]) -> Iterator[dict[str, object]]:
        """Yield `part` and `payload`; commits the split when its end was reached. An error is yielded as a row, too."""
        try:
            yield from self._parts(row["split"])
        except Exception as error:
            yield {"part": "", "payload": b"", "failure": pack_failure(error)}

    def _parts(self, number: int) -> Iterator[dict[str, object]]:
        parts = rows = 0
        for raw in _chunks(read(self.splits[number], self.settings), self.part_rows):
            name = f"part-{number:05d}-{parts:06d}"
            parts += 1
            rows += len(raw)
            if name not in self.done:
                yield {"part": name, "payload": to_ipc(_raw_table(raw)), "failure": b""}
        Ledger(Storage(self.root)).commit(
            "split", Completion(split_name(number), rows_in=rows, rows_out=rows, facts={"parts": parts})
        )


def split_name(number: int) -> str:
    """The completion name of a split."""
    return f"split-{number:05d}"


def read_archive(
    build: Build, splits: Sequence[Split], settings: ReadSettings, part_rows: int
) -> dict[str, Completion]:
    """Run the stage over `splits`; returns the completions of all parts, in archive order."""
    done = build.ledger.done("read")
    ends = build.ledger.done("split")
    todo = [number for number in range(len(splits)) if not _is_through(number, ends, done)]

    def source() -> object:
        import ray.data

        reader = ReadSplit(build.storage.whole(), splits, settings, part_rows, frozenset(done))
        rows = ray.data.from_items([{"split": number} for number in todo], override_num_blocks=len(todo))
        # Reading holds no CPU: it waits for the disk, and the workers that normalise must find theirs free.
        return rows.flat_map(reader, num_cpus=0)

    return build.run(Read(settings), dict.fromkeys(map(split_name, todo)), source)


def _is_through(number: int, ends: dict[str, Completion], done: dict[str, Completion]) -> bool:
    end = ends.get(split_name(number))
    return end is not None and all(f"part-{number:05d}-{p:06d}" in done for p in range(end.facts["parts"]))


def _chunks(rows: Iterator[Row], size: int) -> Iterator[list[Row]]:
    """Up to `size` rows, fewer where they are large: a part travels in one piece."""
    chunk: list[Row] = []
    held = 0
    for row in rows:
        chunk.append(row)
        held += len(row[2])
        if len(chunk) == size or held >= PART_BYTES:
            yield chunk
            chunk, held = [], 0
    if chunk:
        yield chunk


def _raw_table(rows: list[Row]) -> pa.Table:
    sources, values, raws = zip(*rows, strict=True)
    return pa.table([list(sources), list(raws), [pickle.dumps(v) for v in values]], schema=RAW_SCHEMA)
