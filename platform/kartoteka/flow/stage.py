"""What a stage is: parts loaded, rows sent through steps, results written. No cluster in sight."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from kartoteka.flow.ledger import Completion
from kartoteka.storage import Storage

#: Exceptions that are the machine's or the model's fault, never one row's: they stop the run at once.
SYSTEMIC = (OSError, MemoryError, ImportError, AssertionError)


@dataclass(frozen=True, slots=True)
class Resources:
    """What one worker of a step holds on its node."""

    cpus: float = 1.0
    gpus: float = 0.0

    def as_text(self) -> str:
        """For the plan a person reads."""
        return f"{self.cpus:g} CPU" + (f" + {self.gpus:g} GPU" if self.gpus else "")


class Step(ABC):
    """A transformation that keeps the rows of a part and adds columns.

    A dataclass of what it needs to `open`; it is copied and pickled before it is open, never after.
    """

    name: str
    resources = Resources()

    def open(self) -> None:  # noqa: B027 - a step may need nothing
        """Load models and indexes, once per worker. Raises `ValueError` for what the user gave wrongly."""

    @abstractmethod
    def apply(self, rows: pa.Table) -> pa.Table:
        """Transform the rows of one part: as many rows, in the same order, equal for equal rows."""


class Stage(ABC):
    """One stage of the pipeline over fixed parts; parts are independent of each other and of the workers."""

    name: str
    steps: Sequence[Step] = ()

    @abstractmethod
    def load(self, storage: Storage, part: str, payload: bytes) -> pa.Table:
        """The rows of a part, as they enter the first step."""

    @abstractmethod
    def write(self, storage: Storage, part: str, rows: pa.Table, refused: pa.Table) -> Completion:
        """Write the part's files; `refused` are quarantine rows found on the way. Timing is filled in by the flow."""

    @abstractmethod
    def refusal(self, rows: pa.Table, row: int, reason: str, detail: str) -> dict[str, object]:
        """The quarantine row for row number `row` of `rows` that could not pass a step."""


@dataclass(frozen=True, slots=True)
class Bad:
    """A row that a step could not take: its number, why in one word, and in one line."""

    row: int
    reason: str
    detail: str


def apply_steps(steps: Sequence[Step], rows: pa.Table) -> pa.Table:
    """Send `rows` through `steps`."""
    for step in steps:
        before = rows.num_rows
        rows = step.apply(rows)
        assert rows.num_rows == before, f"step {step.name} changed the number of rows"
    return rows


def find_raising(steps: Sequence[Step], rows: pa.Table) -> list[Bad]:
    """The rows that raise when they pass the steps alone.

    Raises the exception itself when it is systemic, or when more than a tenth of the rows raise: then the rows are not
    the cause.
    """
    bad: list[Bad] = []
    for number in range(rows.num_rows):
        try:
            apply_steps(steps, rows.slice(number, 1))
        except SYSTEMIC:
            raise
        except Exception as error:
            bad.append(Bad(number, "failed", one_line(error)))
            if len(bad) > max(1, rows.num_rows // 10):
                raise
    return bad


def one_line(error: BaseException) -> str:
    """An exception as one line for a quarantine row or a terminal."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}"[:500]


def drop(rows: pa.Table, numbers: Sequence[int]) -> pa.Table:
    """`rows` without the given row numbers, order kept."""
    gone = set(numbers)
    kept = pa.array([n for n in range(rows.num_rows) if n not in gone], pa.int64())
    return rows.take(kept) if gone else rows


def thread_environment() -> dict[str, str]:
    """One thread per worker: two spinning on a busy core cost more than twice the CPU of one."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
    return {name: os.environ.get(name, "1") for name in names} | {"TOKENIZERS_PARALLELISM": "false"}
