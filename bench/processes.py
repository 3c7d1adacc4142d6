"""Run a command as a user would, and watch it: wall seconds, CPU-seconds of all its processes, memory of the first."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).parents[1]
PR_SET_CHILD_SUBREAPER = 36
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS", "TOKENIZERS_PARALLELISM")


@dataclass
class Watched:
    """What a command took. `resident` are samples of the first process: (seconds, RSS bytes, RSS not shared)."""

    wall: float = 0.0
    cpu: float = 0.0
    output: str = ""
    lines: list[tuple[float, str]] = field(default_factory=list)
    resident: list[tuple[float, int, int]] = field(default_factory=list)


def environment() -> dict[str, str]:
    """This process's environment with the checkout importable, no cluster, and threads as they are by default."""
    kept = {name: value for name, value in os.environ.items() if name not in (*THREADS, "RAY_ADDRESS")}
    path = [str(ROOT / "platform"), str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return kept | {"PYTHONPATH": os.pathsep.join(path)}


def watch(arguments: Sequence[str], *, every: float = 0.5) -> Watched:
    """Run `python ARGUMENTS` to its end. Raises `RuntimeError` with the last lines of its output when it fails.

    CPU-seconds are the last seen of each process, `every` seconds: what a process used after that, or one that lived
    shorter, is not counted.
    """
    adopt_orphans()
    found, cpu = Watched(), {}
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, *arguments],
        cwd=ROOT, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip

    def listen() -> None:
        for line in process.stdout:
            found.lines.append((time.perf_counter() - start, line.rstrip()))

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    first = psutil.Process(process.pid)
    while process.poll() is None:
        try:
            memory = first.memory_info()
            found.resident.append((time.perf_counter() - start, memory.rss, memory.rss - memory.shared))
        except psutil.Error:
            break  # it ended this moment
        for child in psutil.Process().children(recursive=True):
            try:
                times = child.cpu_times()
                cpu[child.pid, child.create_time()] = times.user + times.system
            except psutil.Error:
                continue
        time.sleep(every)
    code = process.wait()
    found.wall = time.perf_counter() - start
    found.cpu = sum(cpu.values())
    listener.join(10)
    found.output = "\n".join(line for _, line in found.lines)
    if code:
        raise RuntimeError(f"{' '.join(arguments[:3])} ended with {code}:\n{found.output[-2000:]}")
    return found


def adopt_orphans() -> None:
    """On Linux, let processes whose parent ended become ours, so that their CPU time is still seen."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def cpu(function: Callable[[], Any]) -> tuple[float, Any]:
    """CPU-seconds of a call in this process, the better of two: the first may compile."""
    taken = []
    for _ in range(2):
        start = time.process_time()
        result = function()
        taken.append(time.process_time() - start)
    return min(taken), result
