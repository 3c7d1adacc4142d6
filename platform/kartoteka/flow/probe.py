"""Find the rows that kill the process that handles them, in a child process that may die for it.

A worker that dies takes its whole part with it and is tried again for ever. So a part whose worker died twice is
first walked row by row in a child: the child notes the row it is at, and when it is killed (a signal, the out-of-memory
killer, a crash in native code) the noted row is the cause. The child is started again behind it. A part whose worker
died for another reason comes out of the walk unharmed, and its rows are then batched as ever: equal results.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import cloudpickle
import pyarrow as pa

from kartoteka.flow.stage import Bad, Step, apply_steps

#: A row that takes longer than this alone is as good as dead, in seconds.
ROW_TIMEOUT = 600.0


def find_killers(steps: Sequence[Step], rows: pa.Table, row_timeout: float = ROW_TIMEOUT) -> list[Bad]:
    """Walk `rows` through fresh copies of `steps` in child processes; the rows at which a child died.

    Raises `RuntimeError` when the child dies before its first row: then no row is the cause.
    """
    found: list[Bad] = []
    with tempfile.TemporaryDirectory(prefix="kartoteka-probe-") as folder:
        work, journal, log = Path(folder, "work"), Path(folder, "row"), Path(folder, "log")
        start = 0
        while start < rows.num_rows:
            work.write_bytes(cloudpickle.dumps((list(steps), rows, start)))
            journal.write_text("-1")
            state = _walk(work, journal, log, row_timeout)
            if state == "through":
                break
            at = int(journal.read_text())
            if at < start:
                raise RuntimeError(
                    f"a probe died before its first row ({state}): {log.read_text(errors='replace')[-500:]}"
                )
            found.append(Bad(at, "killed_worker", f"{state} while it was handled alone"))
            start = at + 1
    return found


def _walk(work: Path, journal: Path, log: Path, row_timeout: float) -> str:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    with log.open("wb") as output:
        child = subprocess.Popen(
            [sys.executable, "-m", "kartoteka.flow.probe", str(work), str(journal)],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
        try:
            last = journal.read_text()
            while True:
                try:
                    code = child.wait(timeout=row_timeout)
                    break
                except subprocess.TimeoutExpired:
                    if (now := journal.read_text()) == last:
                        return f"no end after {row_timeout:g} s"
                    last = now
        finally:
            child.kill()
            child.wait()
    if code == 0:
        return "through"
    return f"signal {-code}" if code < 0 else f"exit code {code}"


def main(work: str, journal: str) -> int:
    """The child: walk the rows, noting each before it is touched. A Python exception is not a death."""
    steps, rows, start = cloudpickle.loads(Path(work).read_bytes())
    for step in steps:
        step.open()
    note = os.open(journal, os.O_WRONLY)
    for number in range(start, rows.num_rows):
        os.pwrite(note, f"{number:>12}".encode(), 0)
        with suppress(Exception):  # the worker itself meets it again and says so
            apply_steps(steps, rows.slice(number, 1))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
