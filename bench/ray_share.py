"""Ray's share: the pipeline's embed stage beside the same encoder in bare processes, at their steady rates.

    python -m bench.ray_share [--corpus PATH ...] [--documents N]

Bare: as many plain processes as the stage has workers, one thread each, no Ray; texts in memory, vectors dropped. The
stage also reads its parts and writes documents, vectors and completions: Ray costs no more than what is missing.
Bare processes take the first half of the parts before the stage runs and the second half after it, so that a machine
that slows down slows both.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from bench import corpus
from bench.tables import Check, Outcome

REQUIRED = 0.9


@dataclass(frozen=True)
class Worked:
    """One part done: rows, when work on it began and ended (Unix time), CPU-seconds."""

    rows: int
    start: float
    stop: float
    cpu: float


@dataclass(frozen=True)
class Rate:
    """Steady documents per second of all workers together, over `rows` documents; start-up and CPU apart."""

    steady: float
    rows: int
    start_up: float
    cpu_per_thousand: float
    workers: int


def rate(lanes: Sequence[Sequence[Worked]], began: float) -> Rate:
    """Each worker's rate from the end of its first part to the end of its last, added up.

    Raises `ValueError` when a worker has done fewer than two parts.
    """
    if any(len(lane) < 2 for lane in lanes):
        raise ValueError("documents: too few for every worker to do two parts")
    steady = rows = 0.0
    for lane in lanes:
        rows += (later := sum(part.rows for part in lane[1:]))
        steady += later / (lane[-1].stop - lane[0].stop)
    every = [part for lane in lanes for part in lane]
    cpu = 1000 * sum(part.cpu for part in every) / sum(part.rows for part in every)
    return Rate(steady, int(rows), min(part.start for part in every) - began, cpu, len(lanes))


def lanes_of(parts: Sequence[Worked]) -> list[list[Worked]]:
    """The parts by worker: a part goes to the worker that was last to become free before it began."""
    lanes: list[list[Worked]] = []
    for part in sorted(parts, key=lambda p: p.start):
        free = [lane for lane in lanes if lane[-1].stop <= part.start]
        if free:
            max(free, key=lambda lane: lane[-1].stop).append(part)
        else:
            lanes.append([part])
    return lanes


def bare_worker(root: str, encoding: object, separator: str, parts: list[str], turn: object, gate: object, out: object):
    """A process without Ray: load the encoder and the texts, then encode part after part as they are free."""
    from kartoteka.stages.embed import texts_of
    from kartoteka.stages.read import documents_of
    from kartoteka.storage import Storage

    storage = Storage(root)
    encoder = encoding.load("cpu")
    texts = [texts_of(storage.table(documents_of(part)), separator) for part in parts]
    gate.wait()
    done = []
    while True:
        with turn.get_lock():
            number, turn.value = turn.value, turn.value + 1
        if number >= len(parts):
            break
        start, cpu = time.time(), time.process_time()
        encoder.encode(texts[number])
        done.append(Worked(len(texts[number]), start, time.time(), time.process_time() - cpu))
    out.put(done)


def bare(root: str, encoding: object, separator: str, parts: list[str], workers: int) -> Rate:
    context = multiprocessing.get_context("spawn")
    turn, gate, out = context.Value("l", 0), context.Barrier(workers), context.Queue()
    arguments = (root, encoding, separator, parts, turn, gate, out)
    began = time.time()
    processes = [context.Process(target=bare_worker, args=arguments, daemon=True) for _ in range(workers)]
    for process in processes:
        process.start()
    lanes = [out.get() for _ in processes]
    for process in processes:
        process.join()
    return rate(lanes, began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", nargs="+", default=[])
    parser.add_argument("--documents", type=int, default=20_000)
    options = parser.parse_args()

    from jobs.config import ReindexConfig
    from kartoteka import cluster, sources, stages
    from kartoteka.flow.build import Build, rows_out
    from kartoteka.flow.execute import pool_sizes, pools_of
    from kartoteka.flow.stage import thread_environment
    from kartoteka.storage import Storage

    os.environ.update(thread_environment())
    os.environ.pop("RAY_ADDRESS", None)
    config = ReindexConfig()
    encoding = stages.Encoding(settings=config.encoding)
    stage = stages.Embed(encoding, config.embed)
    with tempfile.TemporaryDirectory(prefix="kartoteka-bench-") as folder:
        archive = Path(folder, "corpus.jsonl")
        about = corpus.write(options.corpus, options.documents, archive)
        build = Build(Storage(Path(folder, "edition")), {"bench": "ray_share"}, Console(highlight=False))
        root = build.storage.uri
        with build.locked():
            with cluster.connected():
                # Every worker needs parts enough, in each half of the bare run too.
                workers = pool_sizes([needs for _, needs in pools_of(stage)], options.documents)[0]
                part_rows = max(1, min(config.flow.part_rows, options.documents // (8 * workers)))
                splits = sources.plan([str(archive)], config.read)
                read = rows_out(stages.read_archive(build, splits, config.read, part_rows))
                stages.identify(build, read)
            parts = list(read)
            half = len(parts) // 2
            bares = [bare(root, encoding, config.embed.separator, parts[:half], workers)]
            with cluster.connected():
                began = time.time()
                done = build.run(stage, read).values()
            bares.append(bare(root, encoding, config.embed.separator, parts[half:], workers))
            precision = encoding.load("cpu").identity["precision"]

    staged = rate(lanes_of([Worked(c.rows_in, c.finished - c.seconds, c.finished, c.cpu_seconds) for c in done]), began)
    rows = sum(b.rows for b in bares)
    steady = rows / sum(b.rows / b.steady for b in bares)
    ratio = staged.steady / steady
    outcome = Outcome("ray_share", "Ray's share of the embed stage")
    outcome.notes += [
        about,
        f"{workers} worker(s) of one thread, {len(parts)} parts of {part_rows:,} rows, encoder in {precision}",
        "steady: from the end of each worker's first part to the end of its last, rates added up; "
        "start-up: until the first part is begun (processes, imports, model)",
        f"bare before the stage {bares[0].steady:,.1f}, after it {bares[1].steady:,.1f} documents/s; "
        "the stage also reads its parts and writes documents, vectors and completions",
    ]
    cpu_bare = sum(b.cpu_per_thousand * b.rows for b in bares) / rows
    outcome.table(
        "Embedding",
        ["", "steady documents/s", "ratio", "CPU-s per 1,000", "start-up s"],
        [
            [
                "bare processes",
                f"{steady:,.1f}",
                "1.00",
                f"{cpu_bare:,.1f}",
                " / ".join(f"{b.start_up:,.1f}" for b in bares),
            ],
            [
                "the stage on Ray",
                f"{staged.steady:,.1f}",
                f"{ratio:.2f}",
                f"{staged.cpu_per_thousand:,.1f}",
                f"{staged.start_up:,.1f}",
            ],
        ],
    )
    outcome.checks.append(
        Check(
            f"embed stage beside the same engine bare, {options.documents:,} documents",
            f">= {REQUIRED:g}",
            f"{ratio:.2f}",
            ratio >= REQUIRED,
        )
    )
    outcome.values = {"steady": {"bare": steady, "stage": staged.steady}, "workers": {"stage": staged.workers}}
    outcome.publish()


if __name__ == "__main__":
    main()
