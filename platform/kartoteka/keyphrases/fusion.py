"""One list of neighbours out of several by reciprocal rank (Cormack, Clarke & Buettcher 2009, SIGIR).

Scores of BM25 and cosines cannot be added; ranks can.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kartoteka.keyphrases.sources import Neighbours

#: The paper's k: the larger, the less the first places count for more than the later ones.
CONSTANT = 60


def fuse(lists: Sequence[Neighbours], k: int) -> Neighbours:
    """The k documents of the largest sum of 1 / (60 + rank) over `lists`, ranks from 1; equal sums by number.

    A list names a document once for each query at most. The scores are the sums; -1 and 0 where there are no more.
    """
    numbers = np.concatenate([found.numbers for found in lists], axis=1)
    share = np.concatenate([1.0 / (CONSTANT + 1 + np.arange(found.numbers.shape[1])) for found in lists])
    queries, width = numbers.shape
    order = np.argsort(numbers, axis=1, kind="stable")  # a document's shares are added in the order of the lists
    numbers, share = np.take_along_axis(numbers, order, axis=1).ravel(), share[order].ravel()
    query = np.repeat(np.arange(queries), width)
    first = np.ones(numbers.size, np.bool_)
    first[1:] = (numbers[1:] != numbers[:-1]) | (query[1:] != query[:-1])
    sums = np.add.reduceat(share, np.flatnonzero(first)) if numbers.size else share
    numbers, query = numbers[first], query[first]
    numbers, query, sums = numbers[numbers >= 0], query[numbers >= 0], sums[numbers >= 0]
    order = np.lexsort((numbers, -sums, query))
    place = np.arange(order.size) - np.searchsorted(query, query)
    order, place = order[place < k], place[place < k]
    best, scores = np.full((queries, k), -1, np.int64), np.zeros((queries, k), np.float32)
    best[query[order], place], scores[query[order], place] = numbers[order], sums[order]
    return Neighbours(best, scores)
