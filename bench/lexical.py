"""BM25: bm25s (numpy, numba) beside the sharded index, whole abstracts as queries, equal results, ratios in one run.

PYTHONPATH=platform python -m bench.lexical [DOCUMENTS.jsonl[.gz|.zst]] [--documents N] [--queries N] [--shards N]
"""

from __future__ import annotations

import argparse
import gzip
import io
import itertools
import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bm25s
import numpy as np
import zstandard

from bench.processes import cpu
from kartoteka.lexical.index import ShardedIndex
from kartoteka.lexical.settings import LexicalSettings
from kartoteka.lexical.shard import build_shard
from kartoteka.lexical.statistics import count_part, merge
from kartoteka.text.words import content_stems

SAMPLES = Path(__file__).parents[1] / "samples"


def lines(path: Path) -> Iterator[str]:
    if path.suffix == ".zst":
        with path.open("rb") as raw:
            yield from io.TextIOWrapper(zstandard.ZstdDecompressor().stream_reader(raw), encoding="utf-8")
    else:
        with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as file:
            yield from file


def stems_of(paths: list[Path], most: int) -> list[list[str]]:
    records = (json.loads(line) for path in paths for line in lines(path))
    return [
        content_stems(f"{record['title']} {record['abstract']}", record.get("lang") or "en")
        for record in itertools.islice(records, most)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="*", type=Path)
    parser.add_argument("--documents", type=int, default=1_000_000)
    parser.add_argument("--queries", type=int, default=500)
    parser.add_argument("--shards", type=int, default=1)
    parser.add_argument("--k", type=int, default=50)
    options = parser.parse_args()
    paths = options.paths or sorted(
        p for p in SAMPLES.rglob("*") if p.name.endswith((".jsonl", ".jsonl.zst", ".jsonl.gz"))
    )
    documents = stems_of(paths, options.documents)
    numbers = np.random.default_rng(0).choice(len(documents), min(options.queries, len(documents)), replace=False)
    queries = [documents[number] for number in numbers]
    k = min(options.k, len(documents) - 1)
    length = sum(map(len, queries)) / len(queries)
    print(f"{len(documents)} documents, {len(queries)} abstracts as queries ({length:.0f} terms), k = {k}")

    rates: dict[str, float] = {}
    start = time.process_time()
    engine = bm25s.BM25()
    engine.index(documents, show_progress=False)
    built = time.process_time() - start
    asked = queries[:100]  # numpy is slow
    seconds, _ = cpu(lambda: engine.retrieve(asked, k=k + 1, show_progress=False, n_threads=0))
    rates["bm25s, numpy"] = len(asked) / seconds
    engine.backend = "numba"
    seconds, theirs = cpu(lambda: engine.retrieve(queries, k=k + 1, show_progress=False, n_threads=1))
    rates["bm25s, numba"] = len(queries) / seconds

    with tempfile.TemporaryDirectory() as folder:
        shards = np.array_split(np.arange(len(documents)), options.shards)
        cut = [documents[rows[0] : rows[-1] + 1] for rows in shards]

        def build() -> None:
            statistics = merge(count_part(part) for part in cut)
            for number, part in enumerate(cut):
                build_shard(part, statistics, Path(folder) / f"{number:05d}")

        ours_built, _ = cpu(build)
        size = sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file())
        index = ShardedIndex.open(folder)
        seconds, ours = cpu(lambda: index.search(queries, k, numbers))
        rates[f"kartoteka, {options.shards} shard(s)"] = len(queries) / seconds
        check(theirs, ours, numbers)
        kept = {}
        for most in (10, 20, 30, 40):
            short = ShardedIndex.open(folder, LexicalSettings(max_query_terms=most))
            seconds, found = cpu(lambda short=short: short.search(queries, k, numbers))
            rates[f"kartoteka, {most} most informative terms"] = len(queries) / seconds
            kept[most] = np.mean([len(np.intersect1d(a, b)) / k for a, b in zip(found[0], ours[0], strict=True)])

    print(
        f"built in {built:.1f} CPU-s by bm25s, {ours_built:.1f} here; {size / len(documents):.0f} bytes a document here"
    )
    print(f"{'engine':45}{'queries/CPU-s':>15}{'x numba':>9}")
    for name, rate in rates.items():
        print(f"{name:45}{rate:15.0f}{rate / rates['bm25s, numba']:9.2f}")
    print("the same scores as bm25s, bit for bit: yes")
    print("top k kept by the most informative terms: " + ", ".join(f"{m}: {share:.3f}" for m, share in kept.items()))


def check(theirs: Any, ours: tuple[np.ndarray, np.ndarray], numbers: np.ndarray) -> None:
    """Stop unless both returned the same scores; bm25s is asked for one more, as it returns the query itself."""
    for row, number in enumerate(numbers):
        others = theirs.documents[row] != number
        scores = theirs.scores[row][others][: ours[1].shape[1]]
        assert np.array_equal(scores[: len(ours[1][row])], ours[1][row]), f"query {row} differs"


if __name__ == "__main__":
    main()
