"""Filtered search, one query at a time as a service gets them, beside FAISS Flat with an id selector: recall and rate.

    PYTHONPATH=platform python -m bench.filters [EDITION] [--rows N] [--queries N]

With an edition, vectors are blends of its neighbouring ones; without, unit vectors about random centres. A filter keeps
years at random, or what lies on one side of a plane: documents of one subject, most of them far from a query. For both,
time begins with the filter; FAISS has the faster of a bitmap and a set of numbers made from the same mask.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

import faiss
import numpy as np
import pyarrow as pa

from bench.processes import cpu
from bench.tables import Check, Outcome
from bench.vectors import projected, recall
from kartoteka import catalogue, edition
from kartoteka.documents import DOCUMENT_SCHEMA
from kartoteka.online.filters import Filters
from kartoteka.stages.vectors import matrix_of
from kartoteka.vectors.choose import sample_size, train
from kartoteka.vectors.index import ShardedVectors
from kartoteka.vectors.settings import VectorSettings
from kartoteka.vectors.shard import build_shard

K = 10
SHARES = (0.5, 0.1, 0.01, 0.001)
YEARS = 1000
PART = 50_000


def blended(real: np.ndarray, rows: int) -> np.ndarray:
    """As many unit vectors as wanted that lie among the `real` ones: each moved by what its neighbours differ in."""
    rng = np.random.default_rng(0)
    near = np.concatenate(
        [np.argpartition(-(part @ real.T), 30, axis=1)[:, :30] for part in np.array_split(real, len(real) // 1000 + 1)]
    )

    def neighbour(of: np.ndarray) -> np.ndarray:
        return near[of, rng.integers(0, 30, len(of))]

    own = rng.integers(0, len(real), rows)
    far = neighbour(neighbour(own))
    vectors = real[own] + 0.7 * (real[neighbour(own)] - real[neighbour(own)]) + 0.4 * (real[far] - real[own])
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def open_index(vectors: np.ndarray, folder: Path) -> ShardedVectors:
    """The index of `vectors` as `reindex` makes it."""
    settings = VectorSettings()
    count = sample_size(len(vectors), settings)
    wanted = np.linspace(0, len(vectors), max(count, 1), endpoint=False).astype(np.int64)
    quantiser = train(vectors[wanted], len(vectors), settings)
    ids = [str(row) for row in range(len(vectors))]
    build_shard(vectors.astype(np.float16), ids, quantiser, folder / "shard-0000")
    return ShardedVectors.open(folder, settings)


def open_catalogue(side: np.ndarray, folder: Path) -> catalogue.Catalogue:
    """A catalogue whose years are spread at random, and whose languages are the shares that `side` orders."""
    folder.mkdir()
    years = np.random.default_rng(1).integers(1000, 1000 + YEARS, len(side)).astype(np.int16)
    place = np.argsort(np.argsort(-side)) / len(side)
    langs = np.array([f"{number}" for number in range(len(SHARES) + 1)])[
        np.searchsorted(sorted(SHARES), place, "right")
    ]

    def parts() -> catalogue.CataloguePart:
        for low in range(0, len(side), PART):
            size = min(PART, len(side) - low)
            ids = pa.chunked_array([[str(row) for row in range(low, low + size)]])
            columns = {"id": ids, "lang": pa.array(langs[low : low + size]), "year": pa.array(years[low : low + size])}
            texts = dict.fromkeys(("title", "abstract"), pa.array([""] * size))
            table = pa.table({**columns, **texts, "added": pa.nulls(size, DOCUMENT_SCHEMA.field("added").type)})
            yield catalogue.CataloguePart(f"part-{low}", ids, table, np.full(size, -1))

    catalogue.write(folder, len(side), parts())
    return catalogue.Catalogue.open(folder)


def filters() -> list[tuple[str, float, Filters]]:
    """What is asked: a name, the share it keeps, the filter."""
    found = [("years, at random", share, Filters(year_to=999 + round(YEARS * share))) for share in SHARES]
    groups = {share: tuple(map(str, range(1 + sorted(SHARES).index(share)))) for share in SHARES}
    return found + [("a subject", share, Filters(langs=groups[share])) for share in SHARES]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("edition", nargs="?", help="of whose vectors others are made; none: made vectors")
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--queries", type=int, default=100)
    options = parser.parse_args()
    faiss.omp_set_num_threads(1)
    if options.edition:
        table = edition.open(options.edition).table("embeddings").to_table(columns=["vector"])
        vectors = blended(matrix_of(table["vector"]).astype(np.float32), options.rows)
    else:
        vectors = projected(options.rows, 384)
    rng = np.random.default_rng(2)
    queries = vectors[rng.choice(len(vectors), options.queries, replace=False)]
    queries = queries + 0.02 * rng.standard_normal(queries.shape, dtype=np.float32)
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    flat = faiss.IndexFlatIP(vectors.shape[1])
    flat.add(vectors)
    side = vectors @ rng.standard_normal(vectors.shape[1]).astype(np.float32)
    rows, least, slowest = [], 1.0, np.inf
    with tempfile.TemporaryDirectory() as place:
        index = open_index(vectors, Path(place, "vectors"))
        held = open_catalogue(side, Path(place, "catalogue"))
        for name, share, asked in [("no filter", 1.0, Filters()), *filters()]:
            best, theirs = with_selector(flat, queries, lambda asked=asked: held.mask(asked))
            seconds, found = cpu(
                lambda asked=asked: np.concatenate(
                    [index.search(query[None], K, None, held.mask(asked))[0] for query in queries]
                )
            )
            ours, kept = len(queries) / seconds, recall(found, best)
            rows.append([name, f"{share:g}", f"{kept:.4f}", f"{theirs:,.0f}", f"{ours:,.0f}", f"{ours / theirs:.2f}"])
            if share < 1:
                least, slowest = min(least, kept), min(slowest, ours / theirs)
    about = (
        "exact"
        if index.exact
        else f"{index.shards[0].quantiser['probes']} of {index.shards[0].quantiser['lists']} lists"
    )
    outcome = Outcome(
        "filters", f"Filtered search: {len(vectors):,} x {vectors.shape[1]}, one query at a time, one thread"
    )
    outcome.notes += [
        f"vectors: {'blends of neighbours in a real edition' if options.edition else 'made, see bench/vectors.py'}",
        f"the index: {about}",
    ]
    header = ["filter", "kept", "recall@10", "FAISS Flat, queries/CPU-s", "ours", "x"]
    outcome.table("", header, rows)
    outcome.checks = [
        Check("filtered search, least recall@10", ">= 0.98", f"{least:.4f}", least >= 0.98),
        Check("filtered search beside FAISS Flat with a selector", ">= 3 x", f"{slowest:.2f} x at least", slowest >= 3),
    ]
    outcome.publish()


def with_selector(
    flat: faiss.IndexFlatIP, queries: np.ndarray, mask: Callable[[], np.ndarray | None]
) -> tuple[np.ndarray, float]:
    """The nearest of each query by FAISS, asked one by one, and the rate of the faster of its selectors."""

    def bitmap() -> faiss.IDSelector:
        return faiss.IDSelectorBitmap(np.packbits(mask(), bitorder="little"))

    def batch() -> faiss.IDSelector:
        return faiss.IDSelectorBatch(np.flatnonzero(mask()))

    def ask(query: np.ndarray, selector: Callable[[], faiss.IDSelector] | None) -> np.ndarray:
        parameters = None if selector is None else faiss.SearchParameters(sel=selector())
        return flat.search(query[None], K, params=parameters)[1]

    rates = []
    for selector in [None] if mask() is None else [bitmap, batch]:
        seconds, best = cpu(lambda selector=selector: np.concatenate([ask(query, selector) for query in queries]))
        rates.append(len(queries) / seconds)
    return best, max(rates)


if __name__ == "__main__":
    main()
