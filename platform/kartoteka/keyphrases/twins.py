"""Twins: records that carry the same list of keyphrases, such as the French and the English abstract of one thesis.

A new document has no twin in the archive. Where the archive's own documents have, a ranker trained with them learns to
copy their lists, and its quality on held-out documents is a fable: on theses in two languages F1@5 was 55 in training
and 19 on new ones.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from kartoteka.keyphrases.archive import Archive
from kartoteka.keyphrases.neighbours import LeftOut

#: Least information of what two records have in common, sum of log(documents / carriers) over its phrases, in terms of
#: that of a phrase nobody else carries; and its least share of the longer list.
_INFORMATION, _SHARE = 1.6, 0.75
#: Twins share their rare phrases: more widely used ones are not followed.
_WIDEST = 200


class Carriers(NamedTuple):
    """The documents int64 that carry phrase p, ascending: `documents[starts[p]:starts[p + 1]]`."""

    starts: np.ndarray
    documents: np.ndarray


def find_carriers(archive: Archive) -> Carriers:
    """`archive`'s documents by phrase."""
    arrays = archive.arrays
    order = np.argsort(arrays.doc_phrases, kind="stable")
    documents = (np.searchsorted(arrays.doc_offsets, order, side="right") - 1).astype(np.int64)
    return Carriers(np.concatenate([[0], np.cumsum(arrays.df)]).astype(np.int64), documents)


def find_twins(archive: Archive, own: np.ndarray, carriers: Carriers | None = None) -> LeftOut:
    """Each annotated document of `own` int64 [n] itself, followed by its twins, ascending.

    `carriers`: those of the archive, for a caller that asks more than once.
    """
    arrays, by = archive.arrays, carriers or find_carriers(archive)
    offsets, numbers = _twins(own, arrays.doc_offsets, arrays.doc_phrases, arrays.df, by.starts, by.documents)
    return LeftOut(offsets, numbers)


@njit(cache=True)
def _twins(
    own: np.ndarray,
    doc_offsets: np.ndarray,
    doc_phrases: np.ndarray,
    df: np.ndarray,
    starts: np.ndarray,
    carriers: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    sizes = np.diff(doc_offsets)
    stamp = np.full(sizes.size, -1, np.int64)
    mine = np.full(df.size, -1, np.int64)
    least = _INFORMATION * np.log(max(sizes.size, 3) / 2)
    offsets = np.zeros(own.size + 1, np.int64)
    numbers = [np.int64(0) for _ in range(0)]
    for d in range(own.size):
        me = own[d]
        numbers.append(me)
        phrases = doc_phrases[doc_offsets[me] : doc_offsets[me + 1]]
        for p in phrases:
            mine[p] = d
        near = [np.int64(0) for _ in range(0)]
        for p in phrases:
            if df[p] > _WIDEST:
                continue
            for i in range(starts[p], starts[p + 1]):
                other = carriers[i]
                if other != me and stamp[other] != d:
                    stamp[other] = d
                    near.append(other)
        near.sort()
        for other in near:
            common, information = 0, 0.0
            for j in range(doc_offsets[other], doc_offsets[other + 1]):
                if mine[doc_phrases[j]] == d:
                    common += 1
                    information += np.log(sizes.size / df[doc_phrases[j]])
            if information >= least and common >= _SHARE * max(sizes[me], sizes[other]):
                numbers.append(other)
        offsets[d + 1] = len(numbers)
    return offsets, np.array(numbers, np.int64) if len(numbers) else np.zeros(0, np.int64)
