"""Lists of the best documents: by score, equal scores by number, so that no order of shards can be seen in them.

A search first bounds every document's score cheaply, then scores those again that may be among the k best. `collect`
finds those in a stretch of bounds, of which only the runs are looked into whose maximum may matter.
"""

from __future__ import annotations

import numba
import numpy as np


@numba.njit(cache=True, nogil=True)
def insert(numbers: np.ndarray, scores: np.ndarray, count: int, number: int, score: float) -> int:
    """Put a document into the list `numbers`, `scores` [k] that holds `count`; the last falls out of a full list.

    Returns how many the list holds now.
    """
    k = len(numbers)
    if count == k:
        if score < scores[k - 1] or (score == scores[k - 1] and number > numbers[k - 1]):
            return count
        place = k - 1
    else:
        place = count
        count += 1
    while place > 0 and (scores[place - 1] < score or (scores[place - 1] == score and numbers[place - 1] > number)):
        scores[place], numbers[place] = scores[place - 1], numbers[place - 1]
        place -= 1
    scores[place], numbers[place] = score, number
    return count


@numba.njit(cache=True, nogil=True)
def kth_largest(values: np.ndarray, count: int, k: int, work: np.ndarray) -> float:
    """The k-th largest of `values[:count]`, 1 <= k <= count (Hoare's selection); `work[:count]` is overwritten."""
    work[:count] = values[:count]
    low, high, target = 0, count - 1, k - 1
    while low < high:
        pivot = work[(low + high) // 2]
        i, j = low, high
        while i <= j:
            while work[i] > pivot:
                i += 1
            while work[j] < pivot:
                j -= 1
            if i <= j:
                work[i], work[j] = work[j], work[i]
                i += 1
                j -= 1
        if target <= j:
            high = j
        elif target >= i:
            low = i
        else:
            break
    return work[target]


@numba.njit(cache=True, nogil=True)
def collect(
    values: np.ndarray,
    low: int,
    largest: np.ndarray,
    k: int,
    slack: float,
    bounds: np.ndarray,
    found: np.ndarray,
    count: int,
    keep: float,
    limit: int,
    work: np.ndarray,
) -> tuple[int, float, int]:
    """Add to `bounds` and `found` (`low` and up) which of `values` may be among the k best, `slack` off at most.

    `largest[s]`: the maximum of run s, which is `values[s :: len(largest)]`. Of the list so far: `count` it holds,
    `keep` the least value that may matter, `limit` the length at which it is cut (the sooner, the higher `keep`).
    Returns the three as they are now; a count of -1 where the bounds tell fewer values apart than the list can hold.
    """
    runs = len(largest)
    if count == 0 and k <= runs:  # k runs hold a value at least as large as the k-th of their maxima
        keep = max(keep, kth_largest(largest, runs, k, work) - slack)
    for s in range(runs):
        if largest[s] < keep:
            continue
        for j in range(s, len(values), runs):
            if values[j] < keep:
                continue
            if count == limit:
                keep = max(keep, kth_largest(bounds, count, k, work) - slack)
                count = _drop(bounds, found, count, keep)
                if count > len(bounds) - 64:
                    return -1, keep, limit
                limit = min(len(bounds), 2 * count + 64)
            bounds[count], found[count] = values[j], low + j
            count += 1
    return count, keep, limit


@numba.njit(cache=True, nogil=True)
def prune(bounds: np.ndarray, found: np.ndarray, count: int, k: int, slack: float, work: np.ndarray) -> int:
    """Keep of the first `count` those within `slack` of the k-th largest bound; returns how many they are."""
    if count <= k:
        return count
    return _drop(bounds, found, count, kth_largest(bounds, count, k, work) - slack)


@numba.njit(cache=True, nogil=True)
def _drop(bounds: np.ndarray, found: np.ndarray, count: int, least: float) -> int:
    """Keep of the first `count` those whose bound is at least `least`; returns how many they are."""
    kept = 0
    for c in range(count):
        if bounds[c] >= least:
            bounds[kept], found[kept] = bounds[c], found[c]
            kept += 1
    return kept
