"""What a bench found: printed as Markdown, kept as JSON; every required ratio beside what was measured."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Check:
    """One requirement: what, what is required and what was measured, in words; `met` is None where it was not."""

    what: str
    required: str
    measured: str
    met: bool | None

    @property
    def verdict(self) -> str:
        return {True: "met", False: "NOT MET", None: "not measured"}[self.met]


@dataclass
class Outcome:
    """The result of one bench: notes, tables (title, header, rows of text) and checks."""

    bench: str
    title: str
    notes: list[str] = field(default_factory=list)
    tables: list[tuple[str, list[str], list[list[str]]]] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    values: dict[str, Any] = field(default_factory=dict)

    def table(self, title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        self.tables.append((title, list(header), [list(row) for row in rows]))

    def text(self) -> str:
        pieces = [f"## {self.title}", "\n".join(f"- {note}" for note in self.notes)]
        pieces += [f"{title}\n\n{markdown(header, rows)}" for title, header, rows in self.tables]
        return "\n\n".join(piece for piece in [*pieces, checks_table(self.checks)] if piece)

    def save(self) -> Path:
        """Write it to results/<bench>.json. The machine is described, not named."""
        RESULTS.mkdir(exist_ok=True)
        machine = {"cpus": len(os.sched_getaffinity(0)), "cpu": cpu_name(), "load": os.getloadavg()}
        written = {"written": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "machine": machine, **asdict(self)}
        path = RESULTS / f"{self.bench}.json"
        path.write_text(json.dumps(written, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        return path

    def publish(self) -> None:
        """Print and save."""
        print(f"\n{self.text()}\n", flush=True)
        self.save()


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table that also reads well as plain text: the first column left, the others right."""
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]
    align = [str.ljust] + [str.rjust] * (len(header) - 1)

    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(a(cell, width) for a, cell, width in zip(align, cells, widths, strict=True)) + " |"

    rule = "| " + " | ".join("-" * w if i == 0 else "-" * (w - 1) + ":" for i, w in enumerate(widths)) + " |"
    return "\n".join([line(header), rule, *map(line, rows)])


def checks_table(checks: Sequence[Check]) -> str:
    """The requirements as a table; nothing where there are none."""
    if not checks:
        return ""
    return markdown(
        ["requirement", "required", "measured", ""], [[c.what, c.required, c.measured, c.verdict] for c in checks]
    )


def cpu_name() -> str:
    """The processor as Linux names it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return "unknown"
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")
