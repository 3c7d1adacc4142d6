"""A build: the run that makes one edition, begun, interrupted and taken up again under one plan."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
from rich.console import Console

from kartoteka.edition import BUILD, FORMAT, MANIFEST
from kartoteka.flow.ledger import Completion, Ledger, add_facts, wall_seconds
from kartoteka.flow.progress import StageProgress
from kartoteka.flow.stage import Stage
from kartoteka.storage import Storage

PLAN = f"{BUILD}/plan.json"
#: A piece of a stage's work that is not made of rows; it runs in a worker.
Task = Callable[[Storage], Completion]


@dataclass
class Build:
    """The edition being made at `storage`, under `plan` (configuration and inputs: what decides the result)."""

    storage: Storage
    plan: dict[str, Any]
    console: Console
    ledger: Ledger = field(init=False)
    order: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.ledger = Ledger(self.storage)

    @property
    def plan_hash(self) -> str:
        """SHA-256 of the plan and of the format it is carried out in."""
        decisive = {"format": FORMAT, "plan": self.plan}
        return hashlib.sha256(orjson.dumps(decisive, option=orjson.OPT_SORT_KEYS)).hexdigest()

    def is_complete(self) -> bool:
        """Whether the edition is already there, made under this very plan.

        Raises `ValueError` when there is an edition, or an unfinished run, of another plan or format.
        """
        for name in (MANIFEST, PLAN):
            if self.storage.exists(name):
                found = self.storage.get_json(name).get("plan_hash")
                if found != self.plan_hash:
                    state = "is an edition" if name == MANIFEST else "holds an unfinished run"
                    raise ValueError(
                        f"edition: {self.storage.uri} {state} of another configuration, inputs or version; "
                        "choose another path, or delete it"
                    )
                if name == MANIFEST:
                    return True
        return False

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the build for one driver at a time; the lock dies with its process.

        Raises `ValueError` when another process holds it, or the folder cannot be written. A bucket knows no locks:
        there, writes are idempotent all the same.
        """
        self.storage.check_writable()
        self.storage.put_json(PLAN, {"plan": self.plan, "plan_hash": self.plan_hash})
        if not self.storage.is_local:
            yield
            return
        with open(self.storage.path(f"{BUILD}/lock"), "w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise ValueError(f"edition: another run is working on {self.storage.uri}") from None
            self._sweep()
            yield

    def _sweep(self) -> None:
        """Remove what a killed run left half written; nothing of it was ever visible."""
        for folder, folders, files in os.walk(self.storage.root):
            for name in [n for n in folders if n.startswith(".") and n.endswith((".tmp", ".old"))]:
                shutil.rmtree(os.path.join(folder, name))
                folders.remove(name)
            for name in [n for n in files if n.startswith(".") and n.endswith((".tmp", ".probe"))]:
                os.unlink(os.path.join(folder, name))

    def run(
        self, stage: Stage, parts: Mapping[str, int | None], source: Callable[[], Any] | None = None
    ) -> dict[str, Completion]:
        """Run what is missing of `stage` over `parts` (rows of each, where known); the completions of all of them.

        `source()` gives a Ray dataset of `part` and `payload` for a stage whose parts are not yet known by name;
        `parts` are then what the source still has to do.
        """
        from kartoteka.flow import execute

        done = self.ledger.done(stage.name)
        todo = {part: rows for part, rows in parts.items() if source or part not in done}
        self._enter(stage.name)
        if todo:
            total = None if None in todo.values() else sum(rows or 0 for rows in todo.values())
            given = source() if source else None
            with StageProgress(self.console, stage.name, total) as progress:
                for completion in execute.run_parts(stage, self.storage.whole(), list(todo), given):
                    progress.advance(completion.rows_in)
                    if completion.deaths:
                        progress.say(f"{completion.part}: {completion.deaths} workers died over it; it is done now")
            done = self.ledger.done(stage.name)
        self._leave(stage.name, done, bool(todo))
        return done

    def run_tasks(self, name: str, tasks: dict[str, Task], cpus: float = 1.0) -> dict[str, Completion]:
        """Run what is missing of a stage made of named tasks; returns the completions of all of them."""
        return self.run_waves(name, lambda done: {key: task for key, task in tasks.items() if key not in done}, cpus)

    def run_waves(
        self, name: str, following: Callable[[dict[str, Completion]], dict[str, Task]], cpus: float = 1.0
    ) -> dict[str, Completion]:
        """Run a stage whose later tasks depend on what earlier ones found; returns the completions of all of them.

        `following(done)`, given what is done so far, gives the tasks that can be run now; none: the stage is done.
        """
        from kartoteka.flow import execute

        done = self.ledger.done(name)
        self._enter(name)
        worked = False
        while todo := following(done):
            with StageProgress(self.console, name, len(todo), "tasks") as progress:
                for completion in execute.run_tasks(self.storage.whole(), todo, _Commit(name), cpus):
                    done[completion.part] = completion
                    progress.advance(1)
            worked = True
        if worked:
            done = self.ledger.done(name)
        self._leave(name, done, worked)
        return done

    def _enter(self, name: str) -> None:
        if name not in self.order:
            self.order.append(name)

    def _leave(self, name: str, done: dict[str, Completion], worked: bool) -> None:
        summary = summarise(name, list(done.values()))
        how = f"{summary['seconds']:,.1f} s" if worked else "already done"
        rate = f" · {summary['rows_per_second']:,.1f} rows/s" if worked and summary["rows_in"] else ""
        self.console.print(
            f"{name:<11} {summary['parts']:>6,} parts {summary['rows_in']:>10,} rows  {how}{rate}", highlight=False
        )


@dataclass(frozen=True)
class _Commit:
    """Commits a task's completion from inside the worker that ran it."""

    stage: str

    def __call__(self, storage: Storage, completion: Completion) -> None:
        Ledger(storage).commit(self.stage, completion)


def summarise(name: str, completions: list[Completion]) -> dict[str, Any]:
    """One stage as the manifest says it: parts, rows, seconds of work (wall and CPU), rows per second."""
    rows, seconds = sum(c.rows_in for c in completions), wall_seconds(completions)
    return {
        "name": name,
        "parts": len(completions),
        "rows_in": rows,
        "rows_out": sum(c.rows_out for c in completions),
        "quarantined": sum(c.quarantined for c in completions),
        "seconds": round(seconds, 3),
        "cpu_seconds": round(sum(c.cpu_seconds for c in completions), 3),
        "rows_per_second": round(rows / seconds, 2) if seconds > 0 else 0.0,
    }


def rows_out(completions: dict[str, Completion]) -> dict[str, int]:
    """How many rows came out of each part, in archive order: the parts of a later stage."""
    return {part: completion.rows_out for part, completion in completions.items()}


def filled(rows: dict[str, int]) -> dict[str, int]:
    """The parts that have rows. Raises `ValueError` when none has: then there is no document to go on with."""
    kept = {part: count for part, count in rows.items() if count}
    if not kept:
        raise ValueError("corpus: no row of it could be read as a document")
    return kept


def total_facts(completions: dict[str, Completion]) -> dict[str, Any]:
    """The added-up counters of a stage."""
    total: dict[str, Any] = {}
    for completion in completions.values():
        add_facts(total, completion.facts)
    return total
