"""A byte a component, beside the vectors: half of their memory to read, and still the exact k nearest.

A search for one query is as slow as memory is. So all that is allowed is first compared by codes, in integers; the
error of that is bounded (Cauchy-Schwarz), and what is within it of the k-th best is compared with the vectors
themselves, as `exact` does it after its product. A batch of queries is better off with the product.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np

from kartoteka.prefetch import prefetch_row
from kartoteka.topk import collect, prune
from kartoteka.vectors.exact import compare

#: Up to so many queries read codes, more share a product.
FEW = 4
_BLOCK = 2048  # scores at a time: they stay in the first-level cache
_RUNS = 128
_DENSE = 0.25  # where more of a stretch than this is asked for, all of it is read: memory is fastest in order
_AHEAD = 8  # rows that memory is asked for before they are read


@dataclass(frozen=True, slots=True)
class Codes:
    """Vectors as `codes` int8 [n, d] times `scale` float32 [n]; none is further than `error` from its own."""

    codes: np.ndarray
    scale: np.ndarray
    error: float


def quantise(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Codes int8 [n, d] and scales float32 [n] of float [n, d] vectors; a zero vector stays zero."""
    vectors = np.asarray(vectors, np.float32)
    scale = np.abs(vectors).max(axis=1, initial=0.0) / 127
    codes = np.rint(vectors / np.where(scale > 0, scale, 1)[:, None]).astype(np.int8)
    return codes, scale.astype(np.float32)


def encode(vectors: np.ndarray) -> Codes:
    """The codes of float vectors [n, d], and how far they are off."""
    codes, scale, error = np.empty(vectors.shape, np.int8), np.empty(len(vectors), np.float32), 0.0
    for low in range(0, len(vectors), _BLOCK):
        block = slice(low, low + _BLOCK)
        codes[block], scale[block] = quantise(vectors[block])
        apart = vectors[block].astype(np.float64) - codes[block] * scale[block, None].astype(np.float64)
        error = max(error, float(np.linalg.norm(apart, axis=1).max()))
    return Codes(codes, scale, error * 1.0001)


def nearest_by_codes(
    queries: np.ndarray,
    vectors: np.ndarray,
    codes: Codes,
    rows: np.ndarray,
    base: int,
    norm: float,
    exclude: np.ndarray,
    best: np.ndarray,
    scores: np.ndarray,
    filled: np.ndarray,
) -> None:
    """Merge the nearest of `vectors[rows]` into the lists, as `exact.nearest` does; `codes` are those of `vectors`."""
    k = best.shape[1]
    capacity = min(4 * k + 1024, len(rows) + 1)
    bounds, found = np.empty(capacity, np.float32), np.empty(capacity, np.int64)
    for q in range(len(queries)):
        query, factor, slack = _coded(queries[q], codes.error, norm)
        least = scores[q, -1] - slack if filled[q] == k else np.finfo(np.float32).min
        left_out = exclude[q] - base
        count = _scan(codes.codes, codes.scale, rows, left_out, query, factor, least, slack, k, bounds, found)
        near = rows[found[: max(count, 0)]]
        if count < 0:  # more are the same to the codes than the buffer holds
            near = rows[rows != left_out]
        asked = slice(q, q + 1)
        compare(queries[asked], vectors, [near], base, best[asked], scores[asked], filled[asked])


@numba.njit(cache=True, nogil=True)
def _coded(query: np.ndarray, error: float, norm: float) -> tuple[np.ndarray, np.float32, np.float32]:
    """A query in 16 bits, what its products with codes are to be multiplied by, and twice what they may be off."""
    square, total, largest = 0.0, 0.0, 0.0
    for value in query:
        size = abs(np.float64(value))
        square, total, largest = square + size * size, total + size, max(largest, size)
    # no sum of products with 127 may leave 32 bits; and a query of zeros is one, too
    factor = max(total * 127 / (2**31 - 1 - 127 * len(query)), largest / 32767, 1e-37)
    coded = np.empty(len(query), np.int16)
    for i in range(len(query)):
        coded[i] = np.int16(np.rint(query[i] / factor))
    length = np.sqrt(square)
    rounding = 0.5 * factor * np.sqrt(len(query)) * (norm + error)
    slack = 2.001 * (length * error + rounding) + 1e-6 * length * norm
    return coded, np.float32(factor), np.float32(slack)


@numba.njit(cache=True, nogil=True, inline="always")
def _product(code: np.ndarray, query: np.ndarray) -> np.float32:
    """The sum of products of int8 with int16, in 32 bits: numba would make it 64."""
    total = np.int32(0)
    for j in range(len(query)):
        total = np.int32(total + np.int32(code[j]) * np.int32(query[j]))
    return np.float32(total)


@numba.njit(cache=True, nogil=True)
def _scan(
    codes: np.ndarray,
    scale: np.ndarray,
    rows: np.ndarray,
    left_out: int,
    query: np.ndarray,
    factor: float,
    least: float,
    slack: float,
    k: int,
    bounds: np.ndarray,
    found: np.ndarray,
) -> int:
    """Which places in `rows`, but that of `left_out`, may be among the k best; -1 if `found` cannot hold them."""
    values = np.empty(_BLOCK, np.float32)
    largest = np.empty(_RUNS, np.float32)
    work = np.empty(max(len(bounds), _RUNS), np.float32)
    count, keep, limit = 0, np.float32(least), min(len(bounds), 2 * k + 64)
    for low in range(0, len(rows), _BLOCK):
        width = min(_BLOCK, len(rows) - low)
        if width > _DENSE * (rows[low + width - 1] - rows[low]):
            place = 0
            for row in range(rows[low], rows[low + width - 1] + 1):
                values[place] = _product(codes[row], query) * scale[row] * factor
                place += row == rows[low + place]  # else it is overwritten by the next
        else:
            for i in range(width):
                if low + i + _AHEAD < len(rows):
                    prefetch_row(codes, rows[low + i + _AHEAD])
                values[i] = _product(codes[rows[low + i]], query) * scale[rows[low + i]] * factor
        skipped = np.searchsorted(rows[low : low + width], left_out)
        if skipped < width and rows[low + skipped] == left_out:
            values[skipped] = -np.inf
        largest[:] = -np.inf
        for first in range(0, width, _RUNS):
            for s in range(min(_RUNS, width - first)):
                largest[s] = max(largest[s], values[first + s])
        count, keep, limit = collect(values[:width], low, largest, k, slack, bounds, found, count, keep, limit, work)
        if count < 0:
            return -1
    return prune(bounds, found, count, k, slack, work)
