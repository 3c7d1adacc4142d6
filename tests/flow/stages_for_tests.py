"""A stage whose rows can kill, raise or fill the disk, and tasks in a row: imported by tests and by their workers."""

from __future__ import annotations

import errno
import gc
import os
import signal
import uuid
from dataclasses import dataclass

import pyarrow as pa

from kartoteka.flow.ledger import Completion, files_of
from kartoteka.flow.stage import Resources, Stage, Step
from kartoteka.storage import Storage


@dataclass
class Shout(Step):
    """Adds a column in upper case; some texts are more than it can take."""

    column: str = "loud"
    gpus: float = 0.0
    marker: str = ""
    name = "shout"

    def __post_init__(self) -> None:
        self.resources = Resources(1.0, self.gpus)

    def apply(self, rows: pa.Table) -> pa.Table:
        texts = rows["text"].to_pylist()
        for text in texts:
            if text == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            if text == "kill once" and not os.path.exists(self.marker):
                open(self.marker, "w").close()
                os.kill(os.getpid(), signal.SIGKILL)
            if text == "raise":
                raise ValueError("cannot take this row")
            if text == "full":
                raise OSError(errno.ENOSPC, "No space left on device", "somewhere")
        return rows.append_column(self.column, pa.array([text.upper() for text in texts]))


@dataclass
class Tell(Step):
    """Adds a column with the process that works, and a number of its own for each time that the step was opened."""

    name = "tell"

    def __post_init__(self) -> None:
        self.resources = Resources(1.0)

    def open(self) -> None:
        self.number = uuid.uuid4().hex
        open_here = [step for step in gc.get_objects() if type(step) is Tell and hasattr(step, "number")]
        self.told = f"{os.getpid()} {self.number} {len(open_here)}"

    def apply(self, rows: pa.Table) -> pa.Table:
        return rows.append_column("told", pa.array([self.told] * rows.num_rows))


class Shouting(Stage):
    """Parts of four rows; `texts` says what the rows of some parts are."""

    name = "shouting"

    def __init__(self, texts: dict[str, list[str]], steps: list[Step]) -> None:
        self.texts, self.steps = texts, steps

    def load(self, storage: Storage, part: str, payload: bytes) -> pa.Table:
        return pa.table({"text": self.texts.get(part, [f"{part} {row}" for row in range(4)])})

    def refusal(self, rows: pa.Table, row: int, reason: str, detail: str) -> dict[str, object]:
        text = rows["text"][row].as_py()
        return {
            "reason": reason,
            "detail": detail,
            "stage": self.name,
            "source": "test",
            "id": text,
            "record": text.encode(),
        }

    def write(self, storage: Storage, part: str, rows: pa.Table, refused: pa.Table) -> Completion:
        name = f"shouting/{part}.parquet"
        files = files_of({name: storage.put_table(name, rows)})
        reasons = {reason: refused["reason"].to_pylist().count(reason) for reason in refused["reason"].to_pylist()}
        rows_in = rows.num_rows + refused.num_rows
        return Completion(part, rows_in, rows.num_rows, refused.num_rows, facts={"reasons": reasons}, files=files)


@dataclass
class Doubled:
    """A task: the number that the task before it wrote (the first: 1), twice."""

    number: int

    def __call__(self, storage: Storage) -> Completion:
        before = storage.get_json(f"numbers/{self.number - 1}.json") if self.number else 1
        storage.put_json(f"numbers/{self.number}.json", 2 * before)
        return Completion("", facts={"value": 2 * before})
