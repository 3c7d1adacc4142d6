"""A load generator on loopback: clients that ask one after the other, or at a given rate, and what they were answered.

    python -m bench.load URL BODIES.jsonl --clients 64 --seconds 20 [--rate N] [--key KEY]

Prints one JSON object. A process of its own: what it costs does not count as the server's.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np

from bench.processes import ROOT, environment

#: Of the time asked for, the first part is warming up and is not counted.
WARM_UP = 0.2


@dataclass
class Answers:
    """When each answer came (seconds from the start), how long it took, and its status (0: no answer)."""

    at: list[float] = field(default_factory=list)
    took: list[float] = field(default_factory=list)
    status: list[int] = field(default_factory=list)
    without_retry_after: int = 0


async def ask(session: aiohttp.ClientSession, url: str, body: bytes, answers: Answers, start: float) -> None:
    began, status = time.perf_counter(), 0
    try:
        async with session.post(url, data=body, headers={"content-type": "application/json"}) as response:
            await response.read()
            status = response.status
            answers.without_retry_after += status == 503 and "Retry-After" not in response.headers
    except aiohttp.ClientError:
        pass
    answers.at.append(began - start)
    answers.took.append(time.perf_counter() - began)
    answers.status.append(status)


async def load(
    url: str, bodies: list[bytes], clients: int, seconds: float, rate: float | None, headers: dict[str, str]
) -> Answers:
    """`clients` loops without a pause; with `rate`, requests leave at that rate whether or not others have returned."""
    answers, start = Answers(), time.perf_counter()

    async def loop(number: int) -> None:
        turn = number * 7
        while time.perf_counter() - start < seconds:
            await ask(session, url, bodies[turn % len(bodies)], answers, start)
            turn += 1

    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=120), headers=headers
    ) as session:
        if rate is None:
            await asyncio.gather(*map(loop, range(clients)))
        else:
            tasks = []
            for turn in range(int(rate * seconds)):
                await asyncio.sleep(max(0.0, start + turn / rate - time.perf_counter()))
                tasks.append(asyncio.create_task(ask(session, url, bodies[turn % len(bodies)], answers, start)))
            await asyncio.gather(*tasks)
    return answers


def summary(answers: Answers, seconds: float) -> dict[str, Any]:
    """Answers a second and quantiles in milliseconds, by whether they were a result."""
    at, took, status = np.array(answers.at), np.array(answers.took) * 1e3, np.array(answers.status)
    counted = (at >= WARM_UP * seconds) & (at <= seconds)
    good, refused = counted & (status == 200), counted & (status == 503)
    span = seconds * (1 - WARM_UP)

    def quantiles(which: np.ndarray) -> dict[str, float]:
        found = np.percentile(took[which], [50, 99]) if which.any() else [0.0, 0.0]
        return {"rate": float(which.sum() / span), "p50": float(found[0]), "p99": float(found[1])}

    return {
        "ok": quantiles(good),
        "refused": quantiles(refused),
        "status": {str(code): count for code, count in sorted(Counter(status.tolist()).items())},
        "without_retry_after": answers.without_retry_after,
    }


def run(
    url: str, bodies: Path, clients: int, seconds: float, rate: float | None = None, key: str | None = None
) -> dict[str, Any]:
    """The same from another process."""
    command = [
        sys.executable,
        "-m",
        "bench.load",
        url,
        str(bodies),
        "--clients",
        str(clients),
        "--seconds",
        str(seconds),
    ]
    command += ["--rate", str(rate)] if rate else []
    command += ["--key", key] if key else []
    done = subprocess.run(command, cwd=ROOT, env=environment(), check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("bodies", type=Path)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--rate", type=float)
    parser.add_argument("--key")
    options = parser.parse_args()
    headers = {"X-API-Key": options.key} if options.key else {}
    bodies = options.bodies.read_bytes().splitlines()
    answers = asyncio.run(load(options.url, bodies, options.clients, options.seconds, options.rate, headers))
    print(json.dumps(summary(answers, options.seconds)))


if __name__ == "__main__":
    main()
