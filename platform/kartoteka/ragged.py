"""Lists of unequal length in two arrays: flat values, and where each list begins and ends."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


def lists_of(column: pa.ChunkedArray) -> tuple[np.ndarray, np.ndarray]:
    """A column of lists as flat values and offsets int64 [rows + 1]; a null is an empty list."""
    array = column.combine_chunks()
    sizes = pc.fill_null(pc.list_value_length(array), 0).to_numpy(zero_copy_only=False)
    return array.flatten().to_numpy(zero_copy_only=False), np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)


def pick(values: np.ndarray, offsets: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The lists `rows` of a ragged array: flat values and offsets int64 [rows + 1]."""
    starts, sizes = np.asarray(offsets[rows]), np.asarray(offsets[rows + 1]) - offsets[rows]
    picked = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    places = np.repeat(starts - picked[:-1], sizes) + np.arange(picked[-1])
    return np.asarray(values[places]), picked


def with_lists(rows: pa.Table, columns: dict[str, np.ndarray], offsets: np.ndarray) -> pa.Table:
    """`rows` with columns of lists, cut out of flat values at `offsets` int64 [rows + 1]."""
    for name, values in columns.items():
        rows = rows.append_column(name, pa.LargeListArray.from_arrays(offsets, values))
    return rows


def append(column: pa.ChunkedArray, values: np.ndarray, offsets: np.ndarray, row: int) -> None:
    """Put the lists of `column` behind those of the rows before `row`; the rows of a matrix lie flat in their list.

    `values` [m, ...] and `offsets` int64 [n + 1] have room for all lists; `offsets[row]` is set.
    """
    lists = column.combine_chunks()
    starts = lists.offsets.to_numpy() // math.prod(values.shape[1:])
    base = offsets[row]
    values[base : base + starts[-1] - starts[0]] = lists.flatten().to_numpy().reshape(-1, *values.shape[1:])
    offsets[row : row + len(starts)] = base + starts - starts[0]
