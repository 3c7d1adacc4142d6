"""Batches of texts of like length, bounded by their tokens."""

from __future__ import annotations

import numpy as np


def plan_batches(lengths: np.ndarray, token_budget: int, *, padded: bool) -> list[np.ndarray]:
    """Group texts by length, longest first, into batches of at most `token_budget` tokens.

    `lengths` int64 [n], tokens of each text, or what it takes up of the budget. A batch costs the sum of its lengths,
    or when `padded` its longest length times its texts. A text longer than the budget is a batch by itself; a text
    without tokens is in none. Returns the text numbers of each batch. The plan depends on nothing but the arguments, so
    that the same texts are always encoded in the same company: a matrix product may round differently in another shape.
    """
    order = np.argsort(-lengths, kind="stable")
    sizes = lengths[order]
    batches = []
    start, end = 0, int(np.count_nonzero(sizes))
    if padded:
        while start < end:
            stop = min(end, start + max(1, token_budget // int(sizes[start])))
            batches.append(order[start:stop])
            start = stop
    else:
        totals = np.concatenate([[0], np.cumsum(sizes[:end])])
        while start < end:
            stop = int(np.searchsorted(totals, totals[start] + token_budget, side="right")) - 1
            stop = max(stop, start + 1)
            batches.append(order[start:stop])
            start = stop
    return batches
