"""Identify: find ids that occur twice. The first record in archive order keeps its id, later ones go to quarantine.

A bucket holds the ids whose hash falls into it, so that memory is bounded by the number of buckets; hashes that meet
are compared as strings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from kartoteka.edition import BUILD
from kartoteka.flow.build import Build
from kartoteka.flow.ledger import Completion
from kartoteka.keyphrases.hashing import hash_words
from kartoteka.stages.read import documents_of
from kartoteka.storage import Storage

#: Ids compared in one task: about 100 bytes of memory each.
BUCKET_IDS = 10_000_000
DUPLICATES_SCHEMA = pa.schema([("row", pa.int64()), ("id", pa.string()), ("first", pa.string())])


@dataclass(frozen=True)
class FindDuplicates:
    """One bucket's task."""

    parts: Sequence[str]
    bucket: int
    buckets: int

    def __call__(self, storage: Storage) -> Completion:
        """Write, for each part that has them, its rows whose id came before."""
        hashes, places, ids = [], [], []
        for number, part in enumerate(self.parts):
            table = storage.table(documents_of(part), ["id"])
            hashed = hash_words(table["id"].to_pylist())
            mine = np.flatnonzero(hashed % np.uint64(self.buckets) == self.bucket)
            hashes.append(hashed[mine])
            places.append(np.stack([np.full(len(mine), number), mine], axis=1))
            ids.append(table["id"].take(pa.array(mine)))
        found = _repeats(
            np.concatenate(hashes),
            np.concatenate(places),
            pa.chunked_array([chunk for column in ids for chunk in column.chunks], pa.string()),
        )
        by_part: dict[int, list[tuple[int, str, str]]] = {}
        for (part, row), identity, (first_part, first_row) in found:
            first = storage.table(documents_of(self.parts[first_part]), ["source"])["source"][int(first_row)].as_py()
            by_part.setdefault(int(part), []).append((int(row), identity, first))
        for part, rows in by_part.items():
            table = pa.table([list(column) for column in zip(*rows, strict=True)], schema=DUPLICATES_SCHEMA)
            storage.put_table(f"{duplicates_of(self.parts[part])}/{self.bucket:04d}.parquet", table)
        return Completion("", rows_in=sum(map(len, hashes)), quarantined=len(found))


def _repeats(hashes: np.ndarray, places: np.ndarray, ids: pa.ChunkedArray) -> list[tuple[np.ndarray, str, np.ndarray]]:
    """(place, id, place of the first) of every id that came before; `places` are in archive order."""
    order = np.argsort(hashes, kind="stable")
    ordered = hashes[order]
    same = np.flatnonzero(ordered[1:] == ordered[:-1])
    met = np.sort(order[np.union1d(same, same + 1)]) if len(same) else np.zeros(0, np.int64)
    firsts: dict[str, np.ndarray] = {}
    found = []
    for number, identity in zip(met, ids.take(pa.array(met)).to_pylist(), strict=True):
        if identity in firsts:
            found.append((places[number], identity, firsts[identity]))
        else:
            firsts[identity] = places[number]
    return found


def duplicates_of(part: str) -> str:
    """The folder of a part's duplicate rows; absent where it has none."""
    return f"{BUILD}/duplicates/{part}"


def duplicate_rows(storage: Storage, part: str) -> list[tuple[int, str, str]]:
    """(row, id, source of the first record with that id) of a part, in row order."""
    rows = []
    for name in storage.list(duplicates_of(part), ".parquet"):
        table = storage.table(name)
        rows += list(zip(*(table[c].to_pylist() for c in table.column_names), strict=True))
    return sorted(rows)


def identify(build: Build, read: dict[str, int]) -> dict[str, Completion]:
    """Run the stage over the `read` parts (rows of each, in archive order)."""
    buckets = 1 + sum(read.values()) // BUCKET_IDS
    tasks = {f"bucket-{b:04d}": FindDuplicates(list(read), b, buckets) for b in range(buckets)}
    return build.run_tasks("identify", tasks)
