"""The online service under load, beside the server that people write first; then at twice its capacity.

    python -m bench.serving --edition EDITION [--seconds N] [--overload-minutes N] [--clients 64]

EDITION: one that `kartoteka reindex` made with MiniLM (`make demo` makes one). Servers are measured in turns, so that
a noisy machine is noisy for all of them.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from bench import load
from bench.processes import ROOT, environment
from bench.tables import Check, Outcome
from kartoteka import edition as editions
from kartoteka.encoding.models import resolve_model
from serve import access

PORT = 8180
ROUNDS = 2


@contextmanager
def server(command: Sequence[str], port: int, **variables: str) -> Iterator[str]:
    """A server in a process group of its own, from when it is ready until the block ends; gives its URL."""
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [sys.executable, *command],
            cwd=ROOT,
            env=environment() | variables,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        url = f"http://127.0.0.1:{port}"
        try:
            deadline = time.monotonic() + 300
            while not ready(url):
                if process.poll() is not None or time.monotonic() > deadline:
                    log.seek(0)
                    raise RuntimeError(f"{' '.join(command)}: {log.read()[-2000:].decode()}")
                time.sleep(0.5)
            yield url
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGINT)
                try:
                    process.wait(60)
                except subprocess.TimeoutExpired:
                    os.killpg(process.pid, signal.SIGKILL)


def ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/readyz", timeout=10) as answer:
            return answer.status == 200
    except OSError:
        return False


def bodies(edition: str, folder: Path) -> dict[str, Path]:
    """One text a request: abstracts, and titles alone."""
    rows = editions.open(edition).table("documents").head(1000, columns=["title", "abstract"]).to_pylist()
    texts = {"abstracts": [f"{r['title']}. {r['abstract']}" for r in rows], "titles": [r["title"] or "-" for r in rows]}
    found = {}
    for name, some in texts.items():
        found[name] = folder / f"{name}.jsonl"
        found[name].write_text("".join(json.dumps({"texts": [text]}) + "\n" for text in some), encoding="utf-8")
    return found


def embed(outcome: Outcome, options: argparse.Namespace, texts: dict[str, Path]) -> float:
    """Requests a second of `/v1/embed`; returns the capacity of ours with abstracts."""
    model = editions.open(options.edition).manifest["models"]["encoder"]["name"]
    directory = str(resolve_model(model).directory)
    plain = ["-m", "bench.plain_server", directory, "--port"]
    ours = ["-m", "jobs", "serve", "--edition", options.edition, "--port"]
    key, lines = access.new_key("bench", rate=access.Rate(per_second=1e6, burst=10**6))
    keys = texts["titles"].with_name("keys.toml")
    keys.write_text(lines)
    servers = {
        "Kartoteka": ([*ours, str(PORT)], PORT, {}),
        "the same behind HAProxy, with a key": (
            [*ours, str(PORT + 3), "--keys", str(keys)], PORT + 3, {"RAY_SERVE_ENABLE_HA_PROXY": "1"}
        ),
        "FastAPI + SentenceTransformer": ([*plain, str(PORT + 1)], PORT + 1, {}),
        "that, 2 workers of one thread": ([*plain, str(PORT + 2), "--workers", "2"], PORT + 2, {}),
    }  # fmt: skip
    measured: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for _ in range(options.rounds):
        for name, (command, port, variables) in servers.items():
            with server(command, port, **variables) as url:
                ask = partial(load.run, f"{url}/v1/embed", clients=options.clients, key=key)
                ask(texts["abstracts"], seconds=10)  # replicas come as load does
                for kind, path in texts.items():
                    found = ask(path, seconds=options.seconds)
                    measured.setdefault((kind, name), []).append(found)
                    print(f"{kind:10} {name:36} {found['ok']} {found['status']}", flush=True)
    rows = []
    rates = {key: statistics.mean(one["ok"]["rate"] for one in found) for key, found in measured.items()}
    for (kind, name), found in measured.items():
        p50, p99 = (statistics.mean(one["ok"][q] for one in found) for q in ("p50", "p99"))
        ratio = rates[kind, "Kartoteka"] / rates[kind, name]
        rows.append([f"{kind}: {name}", f"{rates[kind, name]:.1f}", f"{p50:.0f}", f"{p99:.0f}", f"{ratio:.2f}"])
        if name == "Kartoteka" and kind == "abstracts":
            spread = f"{p99 / p50:.1f} x"
            outcome.checks.append(Check("p99 of /v1/embed, abstracts", "<= 5 x p50", spread, p99 <= 5 * p50))
    outcome.table(f"/v1/embed, {options.clients} clients", ["server", "requests/s", "p50 ms", "p99 ms", "ours ×"], rows)
    for kind in texts:
        ratio = rates[kind, "Kartoteka"] / rates[kind, "FastAPI + SentenceTransformer"]
        outcome.checks.append(Check(f"/v1/embed, {kind}", ">= 3 x plain FastAPI", f"{ratio:.2f} x", ratio >= 3))
    return rates["abstracts", "Kartoteka"]


def resident() -> int:
    """Memory of the service's processes, bytes: what each has for itself, files that they map not counted."""
    total = 0
    for process in psutil.process_iter(["cmdline"]):
        name = " ".join(process.info["cmdline"] or [])
        if "ServeReplica:kartoteka" in name or "ProxyActor" in name:
            try:
                memory = process.memory_info()
                total += memory.rss - memory.shared
            except psutil.Error:
                continue
    return total


def overload(outcome: Outcome, options: argparse.Namespace, texts: dict[str, Path], capacity: float) -> None:
    """Requests that leave at twice the capacity, for minutes; then whether the service is itself again."""
    seconds = options.overload_minutes * 60
    with server(["-m", "jobs", "serve", "--edition", options.edition, "--port", str(PORT)], PORT) as url:
        asked = f"{url}/v1/embed"
        before = load.run(asked, texts["abstracts"], 8, 15)
        stop, samples = threading.Event(), []

        def watch() -> None:
            while not stop.wait(2):
                samples.append(resident())

        watcher = threading.Thread(target=watch)
        watcher.start()
        found = load.run(asked, texts["abstracts"], 0, seconds, rate=2 * capacity)
        began = time.monotonic()
        while not ready(url):
            time.sleep(0.05)
        again = time.monotonic() - began
        stop.set()
        watcher.join()
        after = load.run(asked, texts["abstracts"], 8, 15)
    third = max(len(samples) // 3, 1)
    early, late = statistics.median(samples[:third]), statistics.median(samples[-third:])
    growth, late_refusal = late / early - 1, found["refused"]["p99"]
    others = {code: n for code, n in found["status"].items() if code not in ("200", "503")}
    rows = [
        ["answered a second (capacity)", f"{found['ok']['rate']:.1f} ({capacity:.1f})"],
        ["refused a second", f"{found['refused']['rate']:.1f}"],
        ["p50 / p99 of answers, ms", f"{found['ok']['p50']:.0f} / {found['ok']['p99']:.0f}"],
        ["p50 / p99 of refusals, ms", f"{found['refused']['p50']:.0f} / {found['refused']['p99']:.0f}"],
        ["neither 200 nor 503", str(others or "none")],
        ["memory, first and last third, MB", f"{early / 1e6:.0f} / {late / 1e6:.0f}"],
        ["ready again after, s", f"{again:.2f}"],
        ["p50 with 8 clients before / after, ms", f"{before['ok']['p50']:.0f} / {after['ok']['p50']:.0f}"],
    ]
    outcome.table(f"{options.overload_minutes:g} minutes at twice the capacity", ["what", "measured"], rows)
    outcome.checks += [
        Check("memory under overload", "flat (5 %)", f"{100 * growth:+.1f} %", growth <= 0.05),
        Check("refusals are prompt", "p99 <= 1 s", f"{late_refusal:.0f} ms", late_refusal <= 1000),
        Check("answers under overload", "200 or 503, with Retry-After", str(found["status"]),
              not others and not found["without_retry_after"]),
        Check("recovery", "ready within 5 s", f"{again:.2f} s", again <= 5),
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--edition", required=True)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--overload-minutes", type=float, default=10)
    options = parser.parse_args()
    options.edition = str(Path(options.edition).resolve())
    outcome = Outcome("serving", "The online service under load")
    with tempfile.TemporaryDirectory() as folder:
        texts = bodies(options.edition, Path(folder))
        capacity = embed(outcome, options, texts)
        if options.overload_minutes:
            overload(outcome, options, texts, capacity)
    outcome.publish()


if __name__ == "__main__":
    main()
