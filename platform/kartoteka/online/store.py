"""Rows of an edition's tables by document number, from whole part files that are kept while they are wanted."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from threading import Lock
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kartoteka.card import CARD_COLUMNS, LABEL_COLUMNS
from kartoteka.catalogue import Catalogue
from kartoteka.edition import Edition

#: Columns that are read of each table.
COLUMNS = {
    "documents": CARD_COLUMNS,
    "keyphrases": ["id", "keyphrases"],
    "clusters": ["id", "cluster"],
    "labels": ["id", *LABEL_COLUMNS],
}
_CACHE_BYTES = 256 << 20


class DocumentStore:
    """The tables of an edition by document number. Threads may share it; `most_bytes` of decoded parts are kept."""

    def __init__(self, edition: Edition, catalogue: Catalogue, most_bytes: int = _CACHE_BYTES) -> None:
        self._storage, self._catalogue, self._most = edition.storage, catalogue, most_bytes
        self._files = frozenset(edition.manifest["files"])
        self._kept: OrderedDict[str, pa.Table] = OrderedDict()
        self._bytes = 0
        self._lock = Lock()

    def rows(self, table: str, numbers: Sequence[int] | np.ndarray) -> list[dict[str, Any] | None]:
        """The row of `table` for each document the edition holds; None where the table has none."""
        found: list[dict[str, Any] | None] = [None] * len(numbers)
        parts = self._catalogue.part[np.asarray(numbers, np.int64)]
        for part in np.unique(parts):
            name = f"{table}/{self._catalogue.parts[part]}.parquet"
            if part < 0 or name not in self._files:
                continue
            places = np.flatnonzero(parts == part)
            read = self._part(name, COLUMNS[table])
            asked = [int(numbers[place]) for place in places]
            for place, row in zip(places, self._places(read, asked), strict=True):
                found[place] = read.slice(row, 1).to_pylist()[0] if row >= 0 else None
        return found

    def _places(self, read: pa.Table, numbers: list[int]) -> list[int]:
        """Where documents are in a part of a table: as in `documents`, unless the table has not all of them."""
        ids, rows = self._catalogue.ids_of(numbers), self._catalogue.row[numbers].tolist()
        column = read["id"]
        if all(row < len(column) and column[row].as_py() == name for row, name in zip(rows, ids, strict=True)):
            return rows
        place = pc.index_in(pa.array(ids, pa.string()), column.combine_chunks())
        return pc.fill_null(place, -1).to_pylist()

    def _part(self, name: str, columns: list[str]) -> pa.Table:
        with self._lock:
            if name in self._kept:
                self._kept.move_to_end(name)
                return self._kept[name]
        table = self._storage.table(name, columns)  # two threads may read it at once, and one of the two is kept
        with self._lock:
            if name not in self._kept:
                self._kept[name] = table
                self._bytes += table.nbytes
            while self._bytes > self._most and len(self._kept) > 1:
                self._bytes -= self._kept.popitem(last=False)[1].nbytes
        return table
