"""Vector search beside FAISS Flat: recall@10 and queries per CPU-second, with filters, ratios in one run.

    PYTHONPATH=platform python -m bench.vectors [VECTORS.npy] [--rows N] [--dimension D] [--queries N] [--shards N]

Without a file: unit vectors about random centres, projected, which have neighbours as text has.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
import time
from pathlib import Path

import faiss
import numpy as np

from bench.processes import cpu
from kartoteka.vectors.choose import sample_size, train
from kartoteka.vectors.index import ShardedVectors
from kartoteka.vectors.settings import VectorSettings
from kartoteka.vectors.shard import build_shard

K = 10


def projected(rows: int, dimension: int) -> np.ndarray:
    """Unit vectors from a low-dimensional mixture by a random projection, with a little noise."""
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((max(rows // 200, 1), 48)).astype(np.float32)
    inner = centres[rng.integers(0, len(centres), rows)] + 0.7 * rng.standard_normal((rows, 48), dtype=np.float32)
    vectors = inner @ rng.standard_normal((48, dimension), dtype=np.float32)
    vectors += rng.standard_normal(vectors.shape, dtype=np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def recall(found: np.ndarray, best: np.ndarray) -> float:
    return float(
        np.mean([len(np.intersect1d(a, b[b >= 0])) / max((b >= 0).sum(), 1) for a, b in zip(found, best, strict=True)])
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", nargs="?", type=Path)
    parser.add_argument("--rows", type=int, default=60_000)
    parser.add_argument("--dimension", type=int, default=384)
    parser.add_argument("--queries", type=int, default=500)
    parser.add_argument("--shards", type=int, default=2)
    options = parser.parse_args()
    faiss.omp_set_num_threads(1)
    vectors = np.load(options.path)[: options.rows] if options.path else projected(options.rows, options.dimension)
    vectors = np.ascontiguousarray(vectors, np.float32)
    rng = np.random.default_rng(1)
    queries = vectors[rng.choice(len(vectors), min(options.queries, len(vectors)), replace=False)]
    queries = queries + 0.02 * rng.standard_normal(queries.shape, dtype=np.float32)
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    print(f"{len(vectors)} vectors of {vectors.shape[1]}, {len(queries)} queries, {options.shards} shards, one thread")
    print(f"{'index':34}{'kept':>7}{'build CPU-s':>13}{'recall@10':>11}{'queries/CPU-s':>15}{'x Flat':>8}")

    flat = faiss.IndexFlatIP(vectors.shape[1])
    flat.add(vectors)
    seconds, (_, best) = cpu(lambda: flat.search(queries, K))
    base = len(queries) / seconds

    def line(name: str, kept: float, built: float, share: float, rate: float) -> None:
        print(f"{name:34}{kept:7g}{built:13.1f}{share:11.4f}{rate:15.0f}{rate / base:8.2f}")

    line("FAISS Flat", 1, 0, 1, base)
    masks = {share: rng.random(len(vectors)) < share for share in (0.5, 0.1, 0.01)}
    for name, below in (("exact", len(vectors)), ("inverted lists, sq8", 0)):
        settings = VectorSettings(exact_below=below)
        with tempfile.TemporaryDirectory() as folder:
            start = time.process_time()
            drawn = np.sort(rng.choice(len(vectors), sample_size(len(vectors), settings), replace=False))
            quantiser = train(vectors[drawn], len(vectors), settings)
            ends = np.linspace(0, len(vectors), options.shards + 1).astype(int)
            for number, (a, z) in enumerate(itertools.pairwise(ends)):
                ids = [str(row) for row in range(a, z)]
                build_shard(vectors[a:z].astype(np.float16), ids, quantiser, Path(folder) / f"{number:05d}")
            built = time.process_time() - start
            index = ShardedVectors.open(folder, settings)
            if quantiser.lists:
                name = f"{name} {quantiser.probes} of {quantiser.lists}"
            seconds, (found, _) = cpu(lambda index=index: index.search(queries, K))
            line(name, 1, built, recall(found, best), len(queries) / seconds)
            for share, mask in masks.items():
                kept = faiss.IndexFlatIP(vectors.shape[1])
                kept.add(vectors[mask])
                _, among = kept.search(queries, K)
                among = np.where(among >= 0, np.flatnonzero(mask)[among], -1)
                seconds, (found, _) = cpu(lambda index=index, mask=mask: index.search(queries, K, None, mask))
                line(name, share, built, recall(found, among), len(queries) / seconds)


if __name__ == "__main__":
    main()
