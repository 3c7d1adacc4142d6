"""`/v1/similar` over HTTP, with filters that keep less and less of an edition: what is found, how fast, by how many.

    python -m bench.similar --edition EDITION [--queries N] [--clients N] [--seconds N]

Documents of the edition are asked for, by their id and by their text. Filters keep the years up to one: those are taken
that keep about half, a tenth, a hundredth and a thousandth of the documents. What is found by id is compared with FAISS
Flat over the vectors that the filter keeps.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import faiss
import numpy as np
import pyarrow as pa

from bench import load
from bench.serving import server
from bench.tables import Check, Outcome
from kartoteka import edition as editions
from kartoteka.client import Client
from kartoteka.stages.vectors import matrix_of

PORT = 8190
K = 10
SHARES = (1.0, 0.5, 0.1, 0.01, 0.001)


def bounds(years: np.ndarray) -> dict[float, int]:
    """For each share the last year of the filter that keeps about so much; the share is what it keeps in truth."""
    known = np.sort(years[years >= 0])
    last = [int(known[min(int(share * len(years)), len(known) - 1)]) for share in SHARES[1:]]
    return {float(np.mean((years >= 0) & (years <= year))): year for year in last}


def nearest(vectors: np.ndarray, queries: np.ndarray, kept: np.ndarray) -> list[set[int]]:
    """The K nearest of each query among the rows `kept`, itself not counted."""
    rows = np.flatnonzero(kept)
    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(vectors[rows])
    found = rows[index.search(vectors[queries], min(K + 1, len(rows)))[1]]
    return [set([row for row in some if row != query][:K]) for query, some in zip(queries.tolist(), found, strict=True)]


def recall(url: str, ids: list[str], queries: np.ndarray, best: list[set[int]], filters: dict) -> float:
    """The share of the nearest that the service finds, asked by id."""
    place, hits = {name: row for row, name in enumerate(ids)}, []
    with Client(url) as client:
        for query, wanted in zip(queries.tolist(), best, strict=True):
            answer = client.similar(ids=[ids[query]], k=K, mode="dense", filters=filters)
            hits.append(len(wanted & {place[one["id"]] for one in answer["results"]}) / max(len(wanted), 1))
    return float(np.mean(hits))


def write_bodies(folder: Path, rows: list[dict], filters: dict, mode: str) -> dict[str, Path]:
    """Requests by id and by text."""
    asked = {
        "by id": [{"ids": [row["id"]]} for row in rows],
        "by text": [{"text": f"{row['title']}. {row['abstract']}"} for row in rows],
    }
    found = {}
    for name, bodies in asked.items():
        found[name] = folder / f"{name}.jsonl"
        lines = (json.dumps(body | {"k": K, "mode": mode, "filters": filters}) for body in bodies)
        found[name].write_text("\n".join(lines), encoding="utf-8")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--edition", required=True)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=8)
    options = parser.parse_args()
    edition = editions.open(Path(options.edition).resolve())
    table = edition.table("embeddings").to_table()
    ids, vectors = table["id"].to_pylist(), matrix_of(table["vector"]).astype(np.float32)
    documents = edition.table("documents").to_table(columns=["id", "title", "abstract", "year"])
    assert documents["id"].to_pylist() == ids
    years = documents["year"].fill_null(-1).to_numpy().astype(np.int64)
    queries = np.random.default_rng(0).choice(len(ids), options.queries, replace=False)
    asked = documents.take(pa.array(queries)).to_pylist()
    rows, least = [], 1.0
    command = ["-m", "jobs", "serve", "--edition", edition.path, "--port", str(PORT)]
    with tempfile.TemporaryDirectory() as folder, server(command, PORT) as url:
        for share, last in {1.0: None, **bounds(years)}.items():
            filters = {} if last is None else {"year_to": last}
            kept = np.full(len(ids), True) if last is None else (years >= 0) & (years <= last)
            found = recall(url, ids, queries, nearest(vectors, queries, kept), filters)
            least = min(least, found)
            for mode in ("dense", "hybrid"):
                for name, path in write_bodies(Path(folder), asked, filters, mode).items():
                    done = load.run(f"{url}/v1/similar", path, options.clients, options.seconds)
                    good = done["ok"]
                    failed = sum(count for code, count in done["status"].items() if code != "200")
                    cells = [f"{good['rate']:.1f}", f"{good['p50']:.0f} / {good['p99']:.0f}", str(failed)]
                    rows.append([f"{100 * share:.3g} %", mode, name, f"{found:.4f}" if mode == "dense" else "", *cells])
                    print(*rows[-1], flush=True)
    outcome = Outcome("similar", f"/v1/similar over {len(ids):,} documents, {options.clients} clients")
    header = ["kept", "mode", "asked", "recall@10", "requests/s", "p50 / p99 ms", "not 200"]
    outcome.table("", header, rows)
    outcome.checks = [Check("recall@10 of /v1/similar under filters", ">= 0.98", f"{least:.4f}", least >= 0.98)]
    outcome.publish()


if __name__ == "__main__":
    main()
