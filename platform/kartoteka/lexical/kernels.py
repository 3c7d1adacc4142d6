"""The exact top k of BM25 for whole abstracts as queries, compiled.

A query of 80 terms touches every document, so the time goes into adding posting lists. Three ideas, none of which
changes the result:

1. Sums are 16-bit integers: each posting adds its score over a step, rounded up, which bounds the true sum from above
   by at most one step a term. Terms of many documents have a dense row of one byte a document, added by vector
   instructions; the rest are scattered from their posting lists.
2. Documents go by stretches whose sums fit the second-level cache while lists are scattered, and by blocks that fit the
   first while rows are added; a batch of queries passes over each block while its rows are near.
3. Only documents whose bound reaches the k-th best less the rounding are scored again, from the document's own terms,
   in float32 and in the order of the query's tokens: the arithmetic of bm25s, bit for bit.
"""

from __future__ import annotations

import numba
import numpy as np

from kartoteka.topk import collect, insert, prune

BLOCK = 4096  # documents whose 16-bit sums stay in the first-level cache while rows are added
RUNS = BLOCK // 16  # a block is 16 documents a run; a run is looked into when its maximum may matter
STRETCH = 1 << 17  # documents whose sums stay in the second-level cache while postings are scattered


@numba.njit(cache=True, nogil=True)
def margin(tokens: int) -> int:
    """Steps by which the integer bound of a document may exceed its true score: one a token, and float32's rounding."""
    return tokens + 3 + tokens // 64


@numba.njit(cache=True, nogil=True)
def distinct(
    tokens: np.ndarray,
    starts: np.ndarray,
    slots: np.ndarray,
    terms: np.ndarray,
    counts: np.ndarray,
    firsts: np.ndarray,
) -> None:
    """The distinct terms of each query with their counts: those of query `q` are `firsts[q]:firsts[q + 1]`."""
    size = 0
    firsts[0] = 0
    for q in range(len(starts) - 1):
        for p in range(starts[q], starts[q + 1]):
            term = tokens[p]
            if slots[term] < 0:
                slots[term] = size
                terms[size] = term
                counts[size] = 0
                size += 1
            counts[slots[term]] += 1
        for u in range(firsts[q], size):
            slots[terms[u]] = -1
        firsts[q + 1] = size


@numba.njit(cache=True, nogil=True)
def add_rows(sums: np.ndarray, dense: np.ndarray, rows: np.ndarray, times: np.ndarray, low: int) -> None:
    """Add `times` the dense rows `rows` of documents `low:low + len(sums)`, four rows at a time."""
    r = 0
    while r + 4 <= len(rows):
        a = dense[rows[r], low : low + len(sums)]
        b = dense[rows[r + 1], low : low + len(sums)]
        c = dense[rows[r + 2], low : low + len(sums)]
        d = dense[rows[r + 3], low : low + len(sums)]
        p, q, s, t = times[r], times[r + 1], times[r + 2], times[r + 3]
        for j in range(len(sums)):
            sums[j] += p * np.uint16(a[j]) + q * np.uint16(b[j]) + s * np.uint16(c[j]) + t * np.uint16(d[j])
        r += 4
    while r < len(rows):
        a = dense[rows[r], low : low + len(sums)]
        p = times[r]
        for j in range(len(sums)):
            sums[j] += p * np.uint16(a[j])
        r += 1


@numba.njit(cache=True, nogil=True)
def leave_out(sums: np.ndarray, allowed: np.ndarray) -> None:
    """Set the sums of documents that are not `allowed` to 0."""
    for j in range(len(allowed)):
        sums[j] = sums[j] if allowed[j] else np.uint16(0)


@numba.njit(cache=True, nogil=True)
def largest_of_runs(sums: np.ndarray, largest: np.ndarray) -> None:
    """`largest[s]` becomes the maximum of run `s` of a block: its documents s, s + RUNS, s + 2 RUNS and so on."""
    largest[:] = sums[:RUNS]
    for first in range(RUNS, len(sums), RUNS):
        row = sums[first : first + RUNS]
        for s in range(RUNS):
            largest[s] = max(largest[s], row[s])


@numba.njit(cache=True, nogil=True)
def candidates(
    tokens: np.ndarray,
    starts: np.ndarray,
    exclude: np.ndarray,
    allowed: np.ndarray,
    fits: np.ndarray,
    scores: np.ndarray,
    indptr: np.ndarray,
    indices: np.ndarray,
    data: np.ndarray,
    row_of: np.ndarray,
    dense: np.ndarray,
    step: float,
    documents: int,
    sums: np.ndarray,
    bounds: np.ndarray,
    found: np.ndarray,
) -> np.ndarray:
    """Documents of each query that may be among its k best: `bounds` and `found` are [queries, capacity].

    `allowed`: a bool mask of the documents, empty for all of them;
    `scores` [queries, k]: the best so far, 0 where a list is not full; `fits[q]`: no sum of bounds overflows; `sums`:
    uint16 [queries, STRETCH], to work in. Returns how many were found for each query; -1 where it does not fit or the
    bounds could not tell enough documents apart: that query is to be scored in full.
    """
    queries, k = scores.shape
    capacity = bounds.shape[1]
    inverse = np.float32(1.0) / np.float32(step)
    slots = np.full(len(indptr), -1, np.int32)
    terms = np.empty(len(tokens), np.int32)
    counts = np.empty(len(tokens), np.int32)
    firsts = np.empty(queries + 1, np.int64)
    distinct(tokens, starts, slots, terms, counts, firsts)
    # of query q, terms firsts[q]:middles[q] are scattered, rows middles[q]:firsts[q + 1] are added
    middles = np.empty(queries, np.int64)
    rows = np.empty(len(tokens), np.int32)
    times = np.empty(len(tokens), np.uint16)
    cursors = np.empty(len(tokens), np.int64)
    for q in range(queries):
        scattered, row_last = firsts[q], firsts[q + 1]
        for u in range(firsts[q], firsts[q + 1]):
            row = row_of[terms[u]]
            if row < 0:
                terms[scattered], counts[scattered] = terms[u], counts[u]
                cursors[scattered] = indptr[terms[u]]
                scattered += 1
            else:
                row_last -= 1
                rows[row_last], times[row_last] = row, counts[u]
        middles[q] = scattered
    count = np.where(fits, 0, -1)
    keep = np.empty(queries, np.int64)
    for q in range(queries):
        length = starts[q + 1] - starts[q]
        keep[q] = max(1, np.int64(scores[q, k - 1] * inverse) - margin(length) + length)
    limit = np.full(queries, min(capacity, 2 * k + 64))
    largest = np.empty(RUNS, np.uint16)
    work = np.empty(max(capacity, RUNS), np.int64)
    for begin in range(0, documents, STRETCH):
        end = min(begin + STRETCH, documents)
        blocks = (end - begin + BLOCK - 1) // BLOCK
        for q in range(queries):
            if count[q] < 0:
                continue
            sums_of = sums[q]
            sums_of[: blocks * BLOCK] = 0
            for u in range(firsts[q], middles[q]):
                p, stop, weight = cursors[u], indptr[terms[u] + 1], counts[u]
                while p < stop and indices[p] < end:
                    sums_of[indices[p] - begin] += np.uint16(weight * (np.int32(data[p] * inverse) + 1))
                    p += 1
                cursors[u] = p
        for block in range(blocks):
            low = begin + block * BLOCK
            width = min(BLOCK, dense.shape[1] - low)
            for q in range(queries):
                if count[q] < 0 or starts[q] == starts[q + 1]:
                    continue
                these = sums[q, block * BLOCK : (block + 1) * BLOCK]
                mine = slice(middles[q], firsts[q + 1])
                add_rows(these[:width], dense, rows[mine], times[mine], low)
                if len(allowed):
                    leave_out(these, allowed[low : low + BLOCK])
                if low <= exclude[q] < low + BLOCK:
                    these[exclude[q] - low] = 0
                largest_of_runs(these, largest)
                slack = margin(starts[q + 1] - starts[q])
                count[q], keep[q], limit[q] = collect(
                    these, low, largest, k, slack, bounds[q], found[q], count[q], keep[q], limit[q], work
                )
    for q in range(queries):
        count[q] = prune(bounds[q], found[q], count[q], k, margin(starts[q + 1] - starts[q]), work)
    return count


@numba.njit(cache=True, nogil=True)
def score_candidates(
    tokens: np.ndarray,
    starts: np.ndarray,
    exclude: np.ndarray,
    found: np.ndarray,
    count: np.ndarray,
    size: int,
    forward: np.ndarray,
    forward_terms: np.ndarray,
    forward_scores: np.ndarray,
    base: int,
    numbers: np.ndarray,
    scores: np.ndarray,
    filled: np.ndarray,
) -> None:
    """Score the candidates of each query exactly; put those of its terms into its list, as numbers from `base` on."""
    slots = np.full(size, -1, np.int32)
    longest = 0
    for q in range(len(starts) - 1):
        longest = max(longest, starts[q + 1] - starts[q])
    parts = np.zeros(longest, np.float32)
    places = np.empty(longest, np.int32)
    for q in range(len(starts) - 1):
        length = starts[q + 1] - starts[q]
        for i in range(length):
            term = tokens[starts[q] + i]
            if slots[term] < 0:
                slots[term] = i
            places[i] = slots[term]
        for c in range(count[q]):
            document = found[q, c]
            parts[:length] = 0
            for p in range(forward[document], forward[document + 1]):
                slot = slots[forward_terms[p]]
                if slot >= 0:
                    parts[slot] = forward_scores[p]
            score = np.float32(0)
            for i in range(length):  # adding 0 changes no bit
                score += parts[places[i]]
            if score > 0 and document != exclude[q]:
                filled[q] = insert(numbers[q], scores[q], filled[q], base + document, score)
        for i in range(length):
            slots[tokens[starts[q] + i]] = -1


@numba.njit(cache=True, nogil=True)
def score_all(
    tokens: np.ndarray,
    exclude: int,
    allowed: np.ndarray,
    indptr: np.ndarray,
    indices: np.ndarray,
    data: np.ndarray,
    documents: int,
    base: int,
    numbers: np.ndarray,
    scores: np.ndarray,
    filled: int,
) -> int:
    """Score every allowed document for one query, exactly and plainly, into its list; returns how long the list is."""
    accumulators = np.zeros(documents, np.float32)
    for term in tokens:
        for p in range(indptr[term], indptr[term + 1]):
            accumulators[indices[p]] += data[p]
    k = len(numbers)
    for document in range(documents):
        score = accumulators[document]
        if score > 0 and document != exclude and (filled < k or score > scores[k - 1]):
            if len(allowed) and not allowed[document]:
                continue
            filled = insert(numbers, scores, filled, base + document, score)
    return filled


@numba.njit(cache=True, nogil=True)
def count_matches(
    tokens: np.ndarray, allowed: np.ndarray, indptr: np.ndarray, indices: np.ndarray, seen: np.ndarray
) -> int:
    """How many allowed documents hold at least one of the terms `tokens`; `seen`: bool [documents], all false."""
    count = 0
    for term in tokens:
        for p in range(indptr[term], indptr[term + 1]):
            document = indices[p]
            if not seen[document]:
                seen[document] = True
                count += len(allowed) == 0 or allowed[document]
    return count
