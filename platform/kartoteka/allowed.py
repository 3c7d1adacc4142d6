"""A filter of an index: which of its documents may be found, whichever way the caller has it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Allowed:
    """`count` of `documents`, as a bool `mask` [documents] or as ascending `numbers` int64, one of which is None.

    Whoever searches with one filter again and again makes one of it: an index then knows it again.
    """

    documents: int
    count: int
    mask: np.ndarray | None
    numbers: np.ndarray | None

    @classmethod
    def of(cls, allowed: np.ndarray | Allowed | None, documents: int) -> Allowed | None:
        """What a caller gave: a bool mask [documents] or ascending numbers, or this of them; None for no filter.

        Raises `ValueError` naming `allowed` for anything else.
        """
        if allowed is None:
            return None
        if isinstance(allowed, Allowed):
            if allowed.documents != documents:
                raise ValueError(f"allowed: of {allowed.documents} documents for {documents}")
            return allowed
        allowed = np.asarray(allowed)
        if allowed.dtype == np.bool_:
            if allowed.shape != (documents,):
                raise ValueError(f"allowed: a mask of shape {allowed.shape} for {documents} documents")
            return cls(documents, int(np.count_nonzero(allowed)), allowed, None)
        numbers = allowed.astype(np.int64, copy=False)
        if numbers.ndim != 1 or (np.diff(numbers) <= 0).any():
            raise ValueError("allowed: not ascending numbers of documents")
        if len(numbers) and not 0 <= numbers[0] <= numbers[-1] < documents:
            raise ValueError(f"allowed: {numbers[0]} to {numbers[-1]} in an index of {documents} documents")
        return cls(documents, len(numbers), None, numbers)

    @property
    def share(self) -> float:
        """The share of all documents that may be found."""
        return self.count / max(self.documents, 1)

    def rows(self, low: int, high: int) -> np.ndarray:
        """Those that lie in the shard `low:high`, as its rows, int64 ascending."""
        if self.numbers is None:
            return np.flatnonzero(self.mask[low:high])
        first, last = np.searchsorted(self.numbers, (low, high))
        return self.numbers[first:last] - low

    def mask_of(self, low: int, high: int) -> np.ndarray:
        """The same as a bool mask [high - low]."""
        if self.mask is not None:
            return self.mask[low:high]
        mask = np.zeros(high - low, np.bool_)
        mask[self.rows(low, high)] = True
        return mask
