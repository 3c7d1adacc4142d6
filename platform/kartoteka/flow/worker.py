"""What happens to one part inside a worker: attempts counted, steps applied, bad rows set aside, files committed.

State travels between workers as one Arrow IPC payload, so that a part is one row of the Ray Data pipeline and is never
split or merged with another: batches are formed inside a part, whatever the number of workers.
"""

from __future__ import annotations

import dataclasses
import logging
import pickle
import time
import traceback
from collections.abc import Sequence
from typing import ClassVar

import pyarrow as pa

from kartoteka.documents import QUARANTINE_SCHEMA
from kartoteka.flow.ledger import Ledger
from kartoteka.flow.probe import find_killers
from kartoteka.flow.stage import SYSTEMIC, Bad, Stage, Step, apply_steps, drop, find_raising, one_line
from kartoteka.storage import Storage

log = logging.getLogger(__name__)

#: So many unexplained deaths of a part's worker are followed by a walk through its rows one by one ...
DEATHS_BEFORE_PROBE = 2
#: ... and so many by giving up: the rows were walked and are not the cause.
DEATHS_BEFORE_STOP = 6


@dataclasses.dataclass(slots=True)
class State:
    """A part on its way: its rows, the quarantine rows found so far, and the time spent."""

    part: str
    rows: pa.Table
    refused: pa.Table
    seconds: float = 0.0
    cpu_seconds: float = 0.0

    EMPTY: ClassVar[dict[str, object]] = {"part": "", "rows": b"", "refused": b"", "seconds": 0.0, "cpu_seconds": 0.0}

    def pack(self) -> dict[str, object]:
        """As one row of a Ray dataset."""
        return {
            "part": self.part,
            "rows": to_ipc(self.rows),
            "refused": to_ipc(self.refused),
            "seconds": self.seconds,
            "cpu_seconds": self.cpu_seconds,
        }

    @classmethod
    def unpack(cls, row: dict[str, object]) -> State:
        """The inverse of `pack`."""
        return cls(row["part"], from_ipc(row["rows"]), from_ipc(row["refused"]), row["seconds"], row["cpu_seconds"])


class PartWorker:
    """Runs consecutive steps of a stage; `first` loads the part, `last` writes it."""

    def __init__(self, stage: Stage, steps: Sequence[Step], group: int, root: str, first: bool, last: bool) -> None:
        self.stage, self.steps, self.first, self.last = stage, list(steps), first, last
        self.attempts = f"{stage.name}.{group}"
        self.storage = Storage(root)
        self.ledger = Ledger(self.storage)
        self.opened: list[Step] = []  # copies: `steps` stay as they were, for a probe's own process

    def __call__(self, row: dict[str, object]) -> dict[str, object]:
        """Take one part as far as this worker's steps go; the last one returns its completion."""
        if not self.opened:
            opening = [dataclasses.replace(step) for step in self.steps]
            for step in opening:
                step.open()
            self.opened = opening  # not before: steps that could not be opened must not take the next part
        clock, cpu = time.time(), time.process_time()
        part = str(row["part"])
        if self.last and self.ledger.is_done(self.stage.name, part):
            # Ray runs a task again when its node is lost after it ended.
            return {"completion": dataclasses.asdict(self.ledger.done_part(self.stage.name, part))}
        deaths = self.ledger.begin(self.attempts, part)
        if self.first:
            rows = self.stage.load(self.storage, part, row.get("payload") or b"")
            state = State(part, rows, QUARANTINE_SCHEMA.empty_table())
        else:
            state = State.unpack(row)
        self._advance(state, deaths)
        completion = self.stage.write(self.storage, part, state.rows, state.refused) if self.last else None
        state.seconds += time.time() - clock
        state.cpu_seconds += time.process_time() - cpu
        if completion:
            completion = dataclasses.replace(
                completion, seconds=state.seconds, cpu_seconds=state.cpu_seconds, finished=time.time(), deaths=deaths
            )
            self.ledger.commit(self.stage.name, completion)
        self.ledger.end(self.attempts, part)
        return {"completion": dataclasses.asdict(completion)} if completion else state.pack()

    def _advance(self, state: State, deaths: int) -> None:
        if not self.steps:
            return
        if deaths >= DEATHS_BEFORE_STOP:
            raise RuntimeError(
                f"{self.stage.name}: the worker of {state.part} died {deaths} times and no row of it is the cause; "
                "look at the node's memory and its logs"
            )
        if deaths >= DEATHS_BEFORE_PROBE:
            log.warning(
                "%s %s: its worker died %d times; walking its rows one by one", self.stage.name, state.part, deaths
            )
            self._refuse(state, find_killers(self.steps, state.rows))
        try:
            state.rows = apply_steps(self.opened, state.rows)
        except SYSTEMIC:
            raise
        except Exception:
            bad = find_raising(self.opened, state.rows)
            if not bad:
                raise
            self._refuse(state, bad)
            state.rows = apply_steps(self.opened, state.rows)

    def _refuse(self, state: State, bad: list[Bad]) -> None:
        refusals = [self.stage.refusal(state.rows, b.row, b.reason, b.detail) for b in bad]
        state.refused = pa.concat_tables([state.refused, pa.Table.from_pylist(refusals, schema=QUARANTINE_SCHEMA)])
        state.rows = drop(state.rows, [b.row for b in bad])


def pack_failure(error: Exception) -> bytes:
    """An exception as bytes, its traceback kept as a note; one that cannot be pickled becomes a `RuntimeError`."""
    error.add_note("".join(traceback.format_exception(error)))
    try:
        data = pickle.dumps(error)
        pickle.loads(data)
    except Exception:
        return pickle.dumps(RuntimeError(one_line(error)))
    return data


def unpack_failure(data: bytes) -> Exception:
    """The inverse of `pack_failure`."""
    return pickle.loads(data)


def to_ipc(table: pa.Table) -> bytes:
    """A table as one Arrow IPC stream."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


def from_ipc(data: bytes) -> pa.Table:
    """The inverse of `to_ipc`, without a copy."""
    with pa.ipc.open_stream(data) as reader:
        return reader.read_all()
