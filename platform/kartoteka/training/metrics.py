"""A run's figures: rows of (step, name, value, seconds) in Parquet, and the same as OpenTelemetry gauges.

Rows reach the disk together with a checkpoint, in a file named after its step: a run that goes on from there drops the
files of later steps, so that every step is told once.
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from kartoteka.storage import Storage
from kartoteka.telemetry import gauge

FOLDER = "metrics"
SCHEMA = pa.schema([("step", pa.int64()), ("name", pa.string()), ("value", pa.float64()), ("seconds", pa.float64())])


@dataclass
class Metrics:
    """The figures of one worker that speaks for all; `model` names the run in telemetry."""

    run: Storage
    model: str
    rows: list[tuple[int, str, float, float]] = field(default_factory=list)

    def rewind(self, step: int) -> None:
        """Forget what a killed attempt said of the steps after `step`."""
        for name in self.run.list(FOLDER, ".parquet"):
            if int(re.findall(r"\d+", name)[-1]) > step:
                self.run.delete(name)

    def add(self, step: int, figures: dict[str, float], seconds: float) -> None:
        """So many seconds into the run, after `step` steps."""
        for name, value in figures.items():
            self.rows.append((step, name, float(value), seconds))
            gauge(f"kartoteka.training.{name}").set(float(value), {"model": self.model})

    def flush(self, step: int) -> None:
        """Put what was added since the last time on the disk, beside the checkpoint of `step`."""
        if self.rows:
            columns = [list(column) for column in zip(*self.rows, strict=True)]
            self.run.put_table(f"{FOLDER}/step-{step:08d}.parquet", pa.table(columns, schema=SCHEMA))
            self.rows.clear()


def collect(run: Storage) -> pa.Table:
    """All figures on the disk, by step; a `SCHEMA` table."""
    tables = [run.table(name) for name in run.list(FOLDER, ".parquet")]
    return pa.concat_tables([SCHEMA.empty_table(), *tables])


def write_whole(run: Storage) -> pa.Table:
    """Write `metrics.parquet` and `metrics.csv` of the whole run; returns the table."""
    table = collect(run)
    run.put_table("metrics.parquet", table)
    sink = io.BytesIO()
    pacsv.write_csv(table, sink)
    run.put("metrics.csv", sink.getvalue())
    return table


def curve(table: pa.Table, name: str) -> tuple[list[int], list[float]]:
    """Steps and values of one figure."""
    rows = table.filter(pc.equal(table["name"], name))
    return rows["step"].to_pylist(), rows["value"].to_pylist()
