"""K-Means on two workers beside faiss.Kmeans with two threads: seconds to the inertia that its ten iterations reach.

    PYTHONPATH=platform python -m bench.kmeans [VECTORS.npy] [--rows N] [--clusters K] [--iterations N]

Without a file: a mixture on two levels, 60 topics of 60 subjects of very unequal size, whose variance falls from axis
to axis. Our workers are processes that map the same file; they run the functions of the stage `clusters`, without Ray
and without its files. Our time runs from the start of seeding to the end of the exact assignment that follows the first
round whose inertia is at most FAISS's; processes have started and code is compiled before, as a worker's are. On a busy
machine FAISS's threads wait for each other while they spin: CPU-seconds are compared with those of one thread.
"""

from __future__ import annotations

import argparse
import multiprocessing
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import repeat
from pathlib import Path

import faiss
import numpy as np
import psutil

from bench.tables import Check, Outcome
from kartoteka.clustering import kmeans
from kartoteka.clustering.seeding import seeds
from kartoteka.clustering.settings import ClusterSettings

WORKERS = 2
Share = tuple[np.ndarray, kmeans.Sums]


def mixture(rows: int, dimension: int = 128, topics: int = 60, subjects: int = 60) -> np.ndarray:
    """Unit vectors float32 [rows, dimension]."""
    rng = np.random.default_rng(0)
    spectrum = (np.arange(1, dimension + 1) ** -0.5).astype(np.float32)
    topic = rng.standard_normal((topics, 1, dimension), dtype=np.float32)
    subject = topic + 0.8 * rng.standard_normal((topics, subjects, dimension), dtype=np.float32)
    often = rng.pareto(1.5, topics * subjects) + 0.2
    chosen = rng.choice(topics * subjects, rows, p=often / often.sum())
    loose = rng.gamma(4, 0.25, (rows, 1)).astype(np.float32)
    vectors = subject.reshape(-1, dimension)[chosen] + loose * rng.standard_normal((rows, dimension), dtype=np.float32)
    vectors *= spectrum
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def share(path: str, state: kmeans.State, group: slice, before: np.ndarray | None) -> Share:
    """What one group gives to a round."""
    points = np.ascontiguousarray(np.load(path, mmap_mode="r")[group])
    clusters = state.assign(points, before)
    return clusters, kmeans.sums_of(points, clusters, state.centroids)[0]


def cpu_seconds() -> float:
    """Of this process and of the workers, which are its children."""
    own = psutil.Process()
    times = [process.cpu_times() for process in (own, *own.children(recursive=True))]
    return sum(each.user + each.system for each in times)


def theirs(vectors: np.ndarray, clusters: int, iterations: int, threads: int) -> tuple[float, float, float]:
    """Inertia of the last iteration, seconds, CPU-seconds of faiss.Kmeans on all vectors."""
    faiss.omp_set_num_threads(threads)
    peer = faiss.Kmeans(vectors.shape[1], clusters, niter=iterations, seed=1234, max_points_per_centroid=len(vectors))
    wall, cpu = time.perf_counter(), time.process_time()
    peer.train(vectors)
    return float(peer.obj[-1]), time.perf_counter() - wall, time.process_time() - cpu


def ours(
    pool: ProcessPoolExecutor, path: str, settings: ClusterSettings, target: float
) -> tuple[list[float], int, float, float]:
    """Inertia of each round and of the exact assignment after the one that reached `target`; that round's number.

    Then seconds and CPU-seconds until there.
    """
    vectors = np.load(path, mmap_mode="r")
    starts = range(0, len(vectors), settings.group_documents)
    groups = [slice(start, start + settings.group_documents) for start in starts]
    wall, cpu = time.perf_counter(), cpu_seconds()
    sample = np.ascontiguousarray(vectors[settings.sample(len(vectors))])
    state = kmeans.State.begin(seeds(sample, settings.k, settings), settings)
    clusters: list[np.ndarray | None] = [None] * len(groups)
    while not state.settled(settings):
        clusters, sums = zip(*pool.map(partial(share, path, state), groups, clusters), strict=True)
        state = state.after(kmeans.add(sums), settings)
        if state.inertia[-1] <= target:
            break
    number = len(state.inertia)
    _, sums = zip(*pool.map(partial(share, path, state), groups, repeat(None)), strict=True)
    inertia = [*state.inertia.tolist(), float(kmeans.add(sums).inertia.sum())]
    return inertia, number, time.perf_counter() - wall, cpu_seconds() - cpu


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", nargs="?", type=Path)
    parser.add_argument("--rows", type=int, default=500_000)
    parser.add_argument("--clusters", type=int, default=2000)
    parser.add_argument("--iterations", type=int, default=10)
    options = parser.parse_args()
    given = np.load(options.path)[: options.rows].astype(np.float32) if options.path else mixture(options.rows)
    settings = ClusterSettings(k=options.clusters, rounds=options.iterations, tolerance=0)
    outcome = Outcome("kmeans", f"K-Means: {given.shape[0]:,} x {given.shape[1]}, k = {options.clusters:,}")
    outcome.notes.append("vectors: " + (options.path.name if options.path else "a made mixture, see bench/kmeans.py"))
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder, ProcessPoolExecutor(WORKERS, mp_context=context) as pool:
        path = f"{folder}/vectors.npy"
        np.save(path, given)
        few = settings.model_copy(update={"k": 300, "rounds": 2, "group_documents": len(given) // 100})
        ours(pool, path, few, np.inf)  # workers start and compile
        alone, alone_wall, alone_cpu = theirs(given, options.clusters, options.iterations, 1)
        target, their_wall, their_cpu = theirs(given, options.clusters, options.iterations, WORKERS)
        reached, number, wall, cpu = ours(pool, path, settings, target)
        whole, rounds, whole_wall, whole_cpu = ours(pool, path, settings, -np.inf)
    outcome.table(
        "",
        ["", "rounds", "inertia", "wall s", "CPU s"],
        [
            ["faiss.Kmeans, 1 thread", f"{options.iterations}", f"{alone:,.0f}", *_seconds(alone_wall, alone_cpu)],
            ["faiss.Kmeans, 2 threads", f"{options.iterations}", f"{target:,.0f}", *_seconds(their_wall, their_cpu)],
            ["ours, until its inertia", f"{number}", f"{reached[-1]:,.0f}", *_seconds(wall, cpu)],
            ["ours, as many rounds", f"{rounds}", f"{whole[-1]:,.0f}", *_seconds(whole_wall, whole_cpu)],
        ],
    )
    faster = f"{their_wall / wall:.2f} x (CPU-seconds, FAISS's of one thread: {alone_cpu / cpu:.2f} x)"
    beyond = whole[-1] / target
    outcome.checks = [
        Check(
            "K-Means to the inertia of faiss.Kmeans",
            ">= 2 x as fast",
            faster,
            reached[-1] <= target and their_wall >= 2 * wall,
        ),
        Check("its inertia after as many rounds", "<= 1.01 of FAISS's", f"{beyond:.4f}", beyond <= 1.01),
    ]
    outcome.values = {"ours": whole, "faiss": target}
    outcome.publish()


def _seconds(wall: float, cpu: float) -> list[str]:
    return [f"{wall:.1f}", f"{cpu:.1f}"]


if __name__ == "__main__":
    main()
