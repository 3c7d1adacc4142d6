"""The exact k nearest by inner product: a blocked matrix product finds who may be among them, one fixed sum decides.

A product's rounding depends on the shape of its blocks, so it alone would let the number of shards be seen in the
results. It differs from the true inner product by at most gamma = d u / (1 - d u) times the norms, u = 2^-24, in
whatever order it was summed (Higham 2002, "Accuracy and Stability of Numerical Algorithms", 3.5). All vectors within
that distance of the k-th best are compared again in float64, always in the same order.
"""

from __future__ import annotations

from collections.abc import Sequence

import numba
import numpy as np

from kartoteka.topk import collect, insert, prune

QUERIES = 512  # rows and columns of one product: the columns are read, and widened, once for all of the rows
ROWS = 2048
RUNS = 128  # every 128th column makes a run, which is looked into when its maximum may matter
GATHER = 8192  # vectors compared in float64 at once


def rounding(queries: np.ndarray, norm: float) -> np.ndarray:
    """How far a float32 product can be from the true one for each query, float32 [q], given the largest `norm`."""
    unit = (queries.shape[1] + 4) * 2.0**-24  # 4: the stored score is rounded as well
    lengths = np.linalg.norm(queries.astype(np.float64), axis=1)
    return (1.01 * unit / (1 - unit) * lengths * norm + 1e-37).astype(np.float32)


def nearest(
    queries: np.ndarray,
    vectors: np.ndarray,
    rows: np.ndarray,
    base: int,
    norm: float,
    exclude: np.ndarray,
    best: np.ndarray,
    scores: np.ndarray,
    filled: np.ndarray,
) -> None:
    """Merge the nearest of `vectors[rows]` into the lists `best` int64 and `scores` float32 [q, k], `filled` long.

    `vectors`: float16 or float32 [n, d]; `rows` int64 ascending, which the lists call `base` and up and hold none of;
    `norm` at least that of every vector; `exclude` int64 [q]: a number left out of that query's list.
    """
    k = best.shape[1]
    capacity = min(4 * k + 1024, len(rows) + 1)
    wide = np.empty((min(ROWS, len(rows)), queries.shape[1]), np.float32)
    products = np.empty(min(QUERIES, len(queries)) * len(wide), np.float32)
    for first in range(0, len(queries), QUERIES):
        part = slice(first, first + QUERIES)
        asked = np.ascontiguousarray(queries[part], np.float32)
        slack = 2 * rounding(asked, norm)
        bounds = np.empty((len(asked), capacity), np.float32)
        found = np.empty((len(asked), capacity), np.int64)
        count = np.zeros(len(asked), np.int64)
        limit = np.full(len(asked), min(capacity, 2 * k + 64))
        least = np.finfo(np.float32).min  # above -inf, which stands for what is left out
        keep = np.where(filled[part] == k, scores[part, -1] - slack, least).astype(np.float32)
        left_out = exclude[part] - base
        for low in range(0, len(rows), ROWS):
            these = rows[low : low + ROWS]
            width = len(these)
            whole = these[-1] - these[0] + 1 == width  # next to each other: no copy
            widen(vectors[these[0] : these[-1] + 1] if whole else vectors[these], wide[:width])
            product = np.matmul(asked, wide[:width].T, out=products[: len(asked) * width].reshape(len(asked), width))
            _collect(product, low, rows, left_out, slack, k, bounds, found, count, keep, limit)
        _prune(slack, k, bounds, found, count)
        near = [rows[found[q, : max(count[q], 0)]] for q in range(len(asked))]
        for q in np.flatnonzero(count < 0):  # more vectors are the same to float32 than the buffer holds
            near[q] = rows[rows != left_out[q]]
        compare(asked, vectors, near, base, best[part], scores[part], filled[part])


def widen(source: np.ndarray, target: np.ndarray) -> None:
    """Copy finite float16 or float32 values into float32, the former 10 times as fast as numpy does."""
    if source.dtype == np.float16:
        _shift(source.view(np.uint16), target.view(np.uint32))
        target *= np.float32(2.0**112)  # the two exponents are biased by 15 and by 127; exact, subnormal values too
    else:
        target[:] = source


@numba.njit(cache=True, nogil=True)
def _shift(half: np.ndarray, single: np.ndarray) -> None:
    """Put sign, exponent and fraction of a float16 where a float32 has them."""
    for row in range(len(half)):
        a, b = half[row], single[row]
        for i in range(len(a)):
            b[i] = (np.uint32(a[i] & 0x8000) << np.uint32(16)) | (np.uint32(a[i] & 0x7FFF) << np.uint32(13))


def compare(
    queries: np.ndarray,
    vectors: np.ndarray,
    rows: Sequence[np.ndarray],
    base: int,
    best: np.ndarray,
    scores: np.ndarray,
    filled: np.ndarray,
) -> None:
    """Merge `rows[q]` int64 of `vectors`, as numbers from `base` on, into list `q` by their float64 inner products."""
    every = np.concatenate(rows) if len(rows) else np.zeros(0, np.int64)
    asked = np.repeat(np.arange(len(rows)), [len(row) for row in rows])
    for low in range(0, len(every), GATHER):
        chosen = every[low : low + GATHER]
        gathered = np.empty((len(chosen), queries.shape[1]), np.float32)
        widen(vectors[chosen], gathered)
        _decide(queries, gathered, asked[low : low + GATHER], chosen + base, best, scores, filled)


@numba.njit(cache=True, nogil=True)
def _collect(
    product: np.ndarray,
    low: int,
    rows: np.ndarray,
    exclude: np.ndarray,
    slack: np.ndarray,
    k: int,
    bounds: np.ndarray,
    found: np.ndarray,
    count: np.ndarray,
    keep: np.ndarray,
    limit: np.ndarray,
) -> None:
    """Keep what may be among the k best: at least the k-th best so far, less `slack`, twice what rounding can do."""
    width = product.shape[1]
    work = np.empty(max(bounds.shape[1], RUNS), np.float32)
    largest = np.empty(RUNS, np.float32)
    for q in range(len(product)):
        if count[q] < 0:
            continue
        row = product[q]
        left_out = np.searchsorted(rows[low : low + width], exclude[q])
        if left_out < width and rows[low + left_out] == exclude[q]:
            row[left_out] = -np.inf
        largest[:] = -np.inf
        for first in range(0, width, RUNS):
            these = row[first : min(first + RUNS, width)]
            for s in range(len(these)):
                largest[s] = these[s] if these[s] > largest[s] else largest[s]
        count[q], keep[q], limit[q] = collect(
            row, low, largest, k, slack[q], bounds[q], found[q], count[q], keep[q], limit[q], work
        )


@numba.njit(cache=True, nogil=True)
def _prune(slack: np.ndarray, k: int, bounds: np.ndarray, found: np.ndarray, count: np.ndarray) -> None:
    work = np.empty(bounds.shape[1], np.float32)
    for q in range(len(count)):
        count[q] = prune(bounds[q], found[q], count[q], k, slack[q], work)


@numba.njit(cache=True, nogil=True)
def _decide(
    queries: np.ndarray,
    gathered: np.ndarray,
    asked: np.ndarray,
    numbers: np.ndarray,
    best: np.ndarray,
    scores: np.ndarray,
    filled: np.ndarray,
) -> None:
    dimension = queries.shape[1]
    even = dimension - dimension % 4
    for row in range(len(gathered)):
        q = asked[row]
        a, b, c, d = 0.0, 0.0, 0.0, 0.0  # four sums, so that one addition need not wait for the other
        for i in range(0, even, 4):
            a += np.float64(queries[q, i]) * np.float64(gathered[row, i])
            b += np.float64(queries[q, i + 1]) * np.float64(gathered[row, i + 1])
            c += np.float64(queries[q, i + 2]) * np.float64(gathered[row, i + 2])
            d += np.float64(queries[q, i + 3]) * np.float64(gathered[row, i + 3])
        for i in range(even, dimension):
            a += np.float64(queries[q, i]) * np.float64(gathered[row, i])
        filled[q] = insert(best[q], scores[q], filled[q], numbers[row], np.float32((a + b) + (c + d)))
