"""Known phrases found in a text: every run of stems is looked up in the archive's table of phrase forms."""

from __future__ import annotations

import numpy as np
from numba import njit

from kartoteka.keyphrases.hashing import fold, table_get


@njit(cache=True)
def find_known(
    words: np.ndarray, start: int, stop: int, keys: np.ndarray, values: np.ndarray, longest: int, found: np.ndarray
) -> int:
    """Matches of table (`keys`, `values`) in `words[start:stop]`.

    Fills `found` int32 [m, 3] with (phrase, position counted from `start`, words) in order of position, then length;
    returns how many. `found` holds at least (stop - start) * longest rows.
    """
    n = 0
    for i in range(start, stop):
        h = np.uint64(0)
        for j in range(i, min(i + longest, stop)):
            h = fold(h, words[j])
            phrase = table_get(keys, values, h)
            if phrase >= 0:
                found[n, 0] = phrase
                found[n, 1] = i - start
                found[n, 2] = j - i + 1
                n += 1
    return n


@njit(cache=True)
def find_words(words: np.ndarray, start: int, stop: int, wanted: np.ndarray, found: np.ndarray) -> int:
    """Where the words `wanted` stand in `words[start:stop]`.

    Fills `found[:, 1]` with positions counted from `start`, ascending, and returns how many. `found` holds at least
    stop - start rows.
    """
    n = 0
    for i in range(start, stop - wanted.size + 1):
        if np.all(words[i : i + wanted.size] == wanted):
            found[n, 1] = i - start
            n += 1
    return n


@njit(cache=True)
def count_documents(
    title: np.ndarray,
    title_offsets: np.ndarray,
    abstract: np.ndarray,
    abstract_offsets: np.ndarray,
    own: np.ndarray,
    own_offsets: np.ndarray,
    keys: np.ndarray,
    values: np.ndarray,
    longest: int,
    counts: np.ndarray,
) -> None:
    """Add each document once to `counts` int32 [4, phrases] of the phrases in its text.

    Rows of `counts`: documents with the phrase in their text; of those, the ones that carry it as a keyphrase; the
    same two for titles. `own`/`own_offsets` are the phrases that the documents carry.
    """
    n_phrases = counts.shape[1]
    seen = np.full(n_phrases, -1, np.int64)
    seen_title = np.full(n_phrases, -1, np.int64)
    carried = np.full(n_phrases, -1, np.int64)
    room = 1
    for d in range(title_offsets.size - 1):
        room = max(room, title_offsets[d + 1] - title_offsets[d], abstract_offsets[d + 1] - abstract_offsets[d])
    found = np.empty((room * longest, 3), np.int32)
    for d in range(title_offsets.size - 1):
        for j in range(own_offsets[d], own_offsets[d + 1]):
            carried[own[j]] = d
        n = find_known(title, title_offsets[d], title_offsets[d + 1], keys, values, longest, found)
        for i in range(n):
            p = found[i, 0]
            if seen_title[p] != d:
                seen_title[p] = d
                seen[p] = d
                counts[0, p] += 1
                counts[2, p] += 1
                if carried[p] == d:
                    counts[1, p] += 1
                    counts[3, p] += 1
        n = find_known(abstract, abstract_offsets[d], abstract_offsets[d + 1], keys, values, longest, found)
        for i in range(n):
            p = found[i, 0]
            if seen[p] != d:
                seen[p] = d
                counts[0, p] += 1
                if carried[p] == d:
                    counts[1, p] += 1


@njit(cache=True)
def distinct_per_row(values: np.ndarray, offsets: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """The distinct non-negative `values` (< `size`) of each row in order of first occurrence; (values, offsets)."""
    last = np.full(size, -1, np.int64)
    out = np.empty(values.size, values.dtype)
    out_offsets = np.zeros(offsets.size, np.int64)
    n = 0
    for row in range(offsets.size - 1):
        for j in range(offsets[row], offsets[row + 1]):
            value = values[j]
            if value >= 0 and last[value] != row:
                last[value] = row
                out[n] = value
                n += 1
        out_offsets[row + 1] = n
    return out[:n].copy(), out_offsets
