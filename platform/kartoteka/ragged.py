"""Lists of unequal length in two arrays: flat values, and where each list begins and ends."""

from __future__ import annotations

import numpy as np


def pick(values: np.ndarray, offsets: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The lists `rows` of a ragged array: flat values and offsets int64 [rows + 1]."""
    starts, sizes = np.asarray(offsets[rows]), np.asarray(offsets[rows + 1]) - offsets[rows]
    picked = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    places = np.repeat(starts - picked[:-1], sizes) + np.arange(picked[-1])
    return np.asarray(values[places]), picked
