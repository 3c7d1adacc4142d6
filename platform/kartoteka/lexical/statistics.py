"""What BM25 must know of the whole corpus before any shard can be scored: its size, its length, each term's frequency.

Every part is counted where it is read, and the counts are merged in any grouping: integers and a sorted vocabulary, so
the result is the same whatever the order. A merge is linear in bytes and holds flat arrays only.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numba
import numpy as np
import pyarrow as pa

from kartoteka.lexical.terms import Terms, Tokens, compare, encode_tokens

SCHEMA = pa.schema([pa.field("term", pa.large_string(), nullable=False), pa.field("df", pa.int64(), nullable=False)])


@dataclass(frozen=True, slots=True)
class PartStatistics:
    """`documents` counted, `length` tokens in all, and `df` int64: in how many documents each of `terms` is."""

    documents: int
    length: int
    terms: Terms
    df: np.ndarray

    def to_table(self) -> pa.Table:
        """The same as a table (`term` sorted, `df`), the two totals in its schema's metadata."""
        totals = {"documents": str(self.documents), "length": str(self.length)}
        return pa.table([self.terms.to_arrow(), pa.array(self.df)], schema=SCHEMA.with_metadata(totals))

    @classmethod
    def from_table(cls, table: pa.Table) -> Self:
        """Read back what `to_table` gave. Raises `ValueError` when the table is another."""
        totals = table.schema.metadata or {}
        if not table.schema.equals(SCHEMA) or b"documents" not in totals or b"length" not in totals:
            raise ValueError("lexical: not a table of term statistics")
        term = table.column("term").combine_chunks()
        terms = Terms.from_arrow(term.combine_chunks() if isinstance(term, pa.ChunkedArray) else term)
        return cls(int(totals[b"documents"]), int(totals[b"length"]), terms, table.column("df").to_numpy())


class CorpusStatistics(PartStatistics):
    """The statistics of all documents that one index holds."""

    __slots__ = ()

    @property
    def average_length(self) -> float:
        """Mean tokens a document; 0 for no document."""
        return self.length / self.documents if self.documents else 0.0

    def idf(self, terms: Terms) -> np.ndarray:
        """ln(1 + (N - df + 0.5) / (df + 0.5)) of each term, float32; 0 where the corpus has it nowhere.

        Lucene's form, as in Kamphuis et al. 2020, "Which BM25 do you mean?", table 1. `math.log` and not numpy's:
        the last bit must be the one that bm25s has.
        """
        numbers = self.terms.find(terms)
        df = np.where(numbers >= 0, self.df[numbers], 0) if len(self.df) else np.zeros(len(terms), np.int64)
        distinct, inverse = np.unique(df, return_inverse=True)
        logs = [math.log(1 + (self.documents - d + 0.5) / (d + 0.5)) if d else 0.0 for d in distinct.tolist()]
        return np.array(logs, np.float32)[inverse]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write one uncompressed Arrow file, which `load` maps into memory: all workers of a node share it."""
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        beside = target.with_name(f".{target.name}.{os.getpid()}.tmp")
        table = self.to_table()
        with pa.OSFile(str(beside), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)
        with open(beside, "rb") as file:
            os.fsync(file.fileno())
        beside.replace(target)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> CorpusStatistics:
        """Map the file that `save` wrote. Raises `ValueError` naming it when it is missing, torn or another."""
        try:
            table = pa.ipc.open_file(pa.memory_map(os.fspath(path))).read_all()
            return cls.from_table(table)
        except (OSError, pa.ArrowException, ValueError) as error:
            raise ValueError(f"lexical: cannot read statistics {path}: {str(error).splitlines()[0]}") from None


def count_part(documents: Sequence[Sequence[str]] | pa.Array | pa.ChunkedArray | Tokens) -> PartStatistics:
    """The statistics of a part, given the stems of each of its documents."""
    tokens = documents if isinstance(documents, Tokens) else encode_tokens(documents)
    df = _document_frequencies(tokens.offsets, tokens.codes, len(tokens.vocabulary))
    return PartStatistics(len(tokens), len(tokens.codes), tokens.vocabulary, df)


def combine(a: PartStatistics, b: PartStatistics) -> PartStatistics:
    """The statistics of two parts together: associative and commutative."""
    offsets, data, df = _merge(a.terms.offsets, a.terms.data, a.df, b.terms.offsets, b.terms.data, b.df)
    return PartStatistics(a.documents + b.documents, a.length + b.length, Terms(offsets, data), df)


def merge(parts: Iterable[PartStatistics]) -> CorpusStatistics:
    """The statistics of all parts; holds no more than about twice the result at once."""
    stack: list[PartStatistics] = []
    for part in parts:
        stack.append(part)
        # like with like, as in a merge sort: every term is moved a logarithmic number of times
        while len(stack) > 1 and len(stack[-2].df) <= 2 * len(stack[-1].df):
            last = stack.pop()
            stack.append(combine(stack.pop(), last))
    total = PartStatistics(0, 0, Terms(np.zeros(1, np.int64), np.zeros(0, np.uint8)), np.zeros(0, np.int64))
    for part in reversed(stack):
        total = combine(part, total)
    return CorpusStatistics(total.documents, total.length, total.terms, total.df)


@numba.njit(cache=True, nogil=True)
def _document_frequencies(offsets: np.ndarray, codes: np.ndarray, size: int) -> np.ndarray:
    df = np.zeros(size, np.int64)
    last = np.full(size, -1, np.int64)
    for document in range(len(offsets) - 1):
        for p in range(offsets[document], offsets[document + 1]):
            code = codes[p]
            if last[code] != document:
                last[code] = document
                df[code] += 1
    return df


@numba.njit(cache=True, nogil=True)
def _merge(
    a_offsets: np.ndarray,
    a_data: np.ndarray,
    a_df: np.ndarray,
    b_offsets: np.ndarray,
    b_data: np.ndarray,
    b_df: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    n, m = len(a_df), len(b_df)
    offsets = np.empty(n + m + 1, np.int64)
    df = np.empty(n + m, np.int64)
    size = (a_offsets[n] - a_offsets[0]) + (b_offsets[m] - b_offsets[0])
    data = np.empty(size, np.uint8)
    offsets[0] = 0
    i, j, out, end = 0, 0, 0, 0
    while i < n or j < m:
        if i == n:
            order = 1
        elif j == m:
            order = -1
        else:
            order = compare(a_data, a_offsets[i], a_offsets[i + 1], b_data, b_offsets[j], b_offsets[j + 1])
        df[out] = 0
        if order <= 0:
            length = a_offsets[i + 1] - a_offsets[i]
            data[end : end + length] = a_data[a_offsets[i] : a_offsets[i + 1]]
            df[out] += a_df[i]
            i += 1
        if order >= 0:
            length = b_offsets[j + 1] - b_offsets[j]
            if order > 0:
                data[end : end + length] = b_data[b_offsets[j] : b_offsets[j + 1]]
            df[out] += b_df[j]
            j += 1
        end += length
        out += 1
        offsets[out] = end
    return offsets[: out + 1].copy(), data[:end].copy(), df[:out].copy()
