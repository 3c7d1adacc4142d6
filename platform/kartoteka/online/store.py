"""Rows of an edition's tables by document number, from row groups of their files that are kept while wanted."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from threading import Lock
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from kartoteka.card import CARD_COLUMNS, LABEL_COLUMNS
from kartoteka.catalogue import Catalogue
from kartoteka.edition import Edition

#: Columns that are read of each table; the first is the id.
COLUMNS = {
    "documents": CARD_COLUMNS,
    "keyphrases": ["id", "keyphrases"],
    "clusters": ["id", "cluster"],
    "labels": ["id", *LABEL_COLUMNS],
}
_CACHE_BYTES = 256 << 20
_IDS = -1  # stands for a group: the ids of the whole file


class DocumentStore:
    """The tables of an edition by document number. Threads may share it; `most_bytes` of decoded rows are kept."""

    def __init__(self, edition: Edition, catalogue: Catalogue, most_bytes: int = _CACHE_BYTES) -> None:
        self._storage, self._catalogue, self._most = edition.storage, catalogue, most_bytes
        self._files = frozenset(edition.manifest["files"])
        self._starts: dict[str, np.ndarray] = {}
        self._kept: OrderedDict[tuple[str, int], pa.Table] = OrderedDict()
        self._bytes = 0
        self._lock = Lock()

    def rows(self, table: str, numbers: Sequence[int] | np.ndarray) -> list[dict[str, Any] | None]:
        """The row of `table` for each document the edition holds; None where the table has none."""
        found: list[dict[str, Any] | None] = [None] * len(numbers)
        numbers = np.asarray(numbers, np.int64)
        parts = self._catalogue.part[numbers]
        for part in np.unique(parts):
            name = f"{table}/{self._catalogue.parts[part]}.parquet"
            if part < 0 or name not in self._files:
                continue
            places = np.flatnonzero(parts == part)
            for place, row in zip(places, self._of_file(name, COLUMNS[table], numbers[places]), strict=True):
                found[place] = row
        return found

    def _of_file(self, name: str, columns: list[str], numbers: np.ndarray) -> list[dict[str, Any] | None]:
        """The row of each document in a file: where `documents` has it, unless the table has not all of them."""
        ids, rows = self._catalogue.ids_of(numbers), self._catalogue.row[numbers]
        found = self._at(name, columns, rows)
        if all(row is not None and row["id"] == identity for row, identity in zip(found, ids, strict=True)):
            return found
        column = self._group(name, columns[:1], _IDS)["id"].combine_chunks()
        return self._at(name, columns, pc.fill_null(pc.index_in(pa.array(ids, pa.string()), column), -1).to_numpy())

    def _at(self, name: str, columns: list[str], rows: np.ndarray) -> list[dict[str, Any] | None]:
        """The rows of these numbers in a file, read by row groups; None for -1 and behind the end."""
        starts = self._starts_of(name)
        groups = np.searchsorted(starts, rows, side="right") - 1
        found: list[dict[str, Any] | None] = [None] * len(rows)
        for group in np.unique(groups[(rows >= 0) & (rows < starts[-1])]).tolist():
            places = np.flatnonzero(groups == group)
            read = self._group(name, columns, group)
            for place in places:  # `take` of nested lists costs more than a slice for each
                found[place] = read.slice(rows[place] - starts[group], 1).to_pylist()[0]
        return found

    def _starts_of(self, name: str) -> np.ndarray:
        """The first row of each row group of a file, and one past its last row."""
        if name not in self._starts:
            with self._open(name) as file:
                sizes = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
            self._starts[name] = np.cumsum([0, *sizes])
        return self._starts[name]

    def _open(self, name: str) -> pq.ParquetFile:
        return pq.ParquetFile(self._storage.path(name), filesystem=self._storage.fs)

    def _group(self, name: str, columns: list[str], group: int) -> pa.Table:
        """A row group of a file, or with `_IDS` the whole of it."""
        key = (name, group)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        if group == _IDS:  # two threads may read it at once, and one of the two is kept
            table = self._storage.table(name, columns)
        else:
            with self._open(name) as file:
                table = file.read_row_group(group, columns, use_threads=False)
        with self._lock:
            if key not in self._kept:
                self._kept[key] = table
                self._bytes += table.nbytes
            while self._bytes > self._most and len(self._kept) > 1:
                self._bytes -= self._kept.popitem(last=False)[1].nbytes
        return table
