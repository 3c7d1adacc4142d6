"""Lists of terms as flat arrays: a sorted vocabulary, searched without Python objects, and tokens as its numbers.

Order is that of the UTF-8 bytes, which is that of the code points and of Arrow's own sort.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import numba
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


@dataclass(frozen=True, slots=True)
class Terms:
    """A sorted vocabulary: term `i` is `data[offsets[i]:offsets[i + 1]]`; int64 [n + 1] and uint8 [bytes]."""

    offsets: np.ndarray
    data: np.ndarray

    @classmethod
    def from_arrow(cls, array: pa.LargeStringArray) -> Terms:
        """The same bytes, not copied."""
        _, offsets, data = array.buffers()
        if len(array) == 0:
            return cls(np.zeros(1, np.int64), np.zeros(0, np.uint8))
        starts = np.frombuffer(offsets, np.int64)[array.offset : array.offset + len(array) + 1]
        return cls(starts, np.frombuffer(data, np.uint8) if data else np.zeros(0, np.uint8))

    def to_arrow(self) -> pa.LargeStringArray:
        """The same bytes as an Arrow array, not copied."""
        buffers = [None, pa.py_buffer(np.ascontiguousarray(self.offsets)), pa.py_buffer(self.data)]
        return pa.LargeStringArray.from_buffers(len(self), buffers[1], buffers[2])

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def find(self, wanted: Terms) -> np.ndarray:
        """The number of each wanted term, -1 where it is not here: int64 [len(wanted)]."""
        return _find(self.offsets, self.data, wanted.offsets, wanted.data)


@dataclass(frozen=True, slots=True)
class Tokens:
    """Documents as numbers of terms: document `d` is `codes[offsets[d]:offsets[d + 1]]`; `vocabulary` is sorted."""

    offsets: np.ndarray
    codes: np.ndarray
    vocabulary: Terms

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> np.ndarray:
        """Tokens in each document, int64 [documents]."""
        return np.diff(self.offsets)


def encode_tokens(documents: Sequence[Sequence[str]] | pa.Array | pa.ChunkedArray) -> Tokens:
    """Number the tokens of `documents`: lists of strings, or an Arrow column of lists of strings."""
    if isinstance(documents, pa.ChunkedArray):
        documents = documents.combine_chunks()
    if isinstance(documents, pa.Array):
        lengths = pc.fill_null(pc.list_value_length(documents), 0).to_numpy(zero_copy_only=False)
        flat = documents.flatten().cast(pa.large_string())
    else:
        lengths = np.fromiter(map(len, documents), np.int64, len(documents))
        flat = pa.array(list(chain.from_iterable(documents)), type=pa.large_string())
    offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    encoded = flat.dictionary_encode()
    order = pc.sort_indices(encoded.dictionary)
    rank = np.empty(len(order), np.int32)
    rank[order.to_numpy()] = np.arange(len(order), dtype=np.int32)
    codes = rank[encoded.indices.to_numpy()] if len(flat) else np.zeros(0, np.int32)
    return Tokens(offsets, codes, Terms.from_arrow(encoded.dictionary.take(order)))


@numba.njit(cache=True, nogil=True)
def compare(a: np.ndarray, a_start: int, a_stop: int, b: np.ndarray, b_start: int, b_stop: int) -> int:
    """Less than, equal to or more than 0 as the bytes of `a` come before, are, or come after those of `b`."""
    common = min(a_stop - a_start, b_stop - b_start)
    for i in range(common):
        difference = np.int64(a[a_start + i]) - np.int64(b[b_start + i])
        if difference != 0:
            return difference
    return (a_stop - a_start) - (b_stop - b_start)


@numba.njit(cache=True, nogil=True)
def _find(offsets: np.ndarray, data: np.ndarray, wanted_offsets: np.ndarray, wanted_data: np.ndarray) -> np.ndarray:
    found = np.full(len(wanted_offsets) - 1, -1, np.int64)
    for w in range(len(found)):
        start, stop = wanted_offsets[w], wanted_offsets[w + 1]
        low, high = 0, len(offsets) - 1
        while low < high:
            middle = (low + high) // 2
            order = compare(data, offsets[middle], offsets[middle + 1], wanted_data, start, stop)
            if order == 0:
                found[w] = middle
                break
            if order < 0:
                low = middle + 1
            else:
                high = middle
    return found
