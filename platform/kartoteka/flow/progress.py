"""Progress a person can follow: a live line in a terminal, plain lines in a job's log."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

#: In a log, at most one line a stage in so many seconds.
LOG_EVERY = 10.0


class StageProgress:
    """Rows per second and time left of one stage. `total` counts rows; None while it is not known."""

    def __init__(self, console: Console, name: str, total: int | None, unit: str = "rows") -> None:
        self.console, self.name, self.total, self.unit = console, name, total, unit
        self.rows = 0
        self.started = self.said = time.monotonic()
        self.live: Progress | None = None
        self.task: TaskID | None = None

    def __enter__(self) -> Self:
        if self.console.is_terminal:
            self.live = Progress(
                SpinnerColumn(),
                TextColumn("{task.description:<11}"),
                BarColumn(bar_width=30),
                TextColumn("{task.fields[state]}"),
                TimeElapsedColumn(),
                console=self.console,
                transient=True,
            )
            self.live.start()
            self.task = self.live.add_task(self.name, total=self.total, state="starting workers")
        return self

    def advance(self, rows: int) -> None:
        """So many more rows are done."""
        self.rows += rows
        if self.live and self.task is not None:
            self.live.update(self.task, completed=self.rows, state=self.state())
        elif time.monotonic() - self.said >= LOG_EVERY:
            self.said = time.monotonic()
            self.say(self.state())

    def say(self, message: str) -> None:
        """A line above the progress."""
        self.console.print(f"{self.name}: {message}", highlight=False, soft_wrap=True)

    def state(self) -> str:
        """`1,200 of 20,000 rows · 81 rows/s · 3:52 left`."""
        rate = self.rows / max(1e-9, time.monotonic() - self.started)
        of = f" of {self.total:,}" if self.total is not None else ""
        left = ""
        if self.total is not None and rate > 0:
            left = f" · {_clock((self.total - self.rows) / rate)} left"
        return f"{self.rows:,}{of} {self.unit} · {rate:,.1f} {self.unit}/s{left}"

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.live:
            self.live.stop()


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds + 0.5), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
