"""Lists picked out of a ragged array are those that slicing gives."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from kartoteka.ragged import append, lists_of, pick


@given(st.lists(st.lists(st.integers(-9, 9), max_size=5), min_size=1, max_size=8), st.data())
def test_picked_lists_are_the_slices(lists: list[list[int]], data: st.DataObject) -> None:
    rows = data.draw(st.lists(st.integers(0, len(lists) - 1), max_size=6))
    values = np.array([value for one in lists for value in one], np.int32)
    offsets = np.cumsum([0, *map(len, lists)])
    picked, bounds = pick(values, offsets, np.array(rows, np.int64))
    assert picked.dtype == np.int32
    assert bounds.dtype == np.int64
    assert [picked[a:b].tolist() for a, b in pairwise(bounds)] == [lists[row] for row in rows]


LISTS = st.lists(st.none() | st.lists(st.integers(-9, 9), max_size=5), max_size=5)


@given(st.lists(LISTS, max_size=3), st.integers(0, 4), st.sampled_from([pa.list_, pa.large_list]))
def test_a_column_of_lists_is_flat_values_and_offsets(chunks: list[list], first: int, kind: type) -> None:
    column = pa.chunked_array(chunks, kind(pa.int16())).slice(first)
    values, offsets = lists_of(column)
    assert (values.dtype, offsets.dtype) == (np.int16, np.int64)
    assert [values[a:b].tolist() for a, b in pairwise(offsets)] == [some or [] for some in column.to_pylist()]


PAIRS = st.lists(st.tuples(st.integers(-9, 9), st.integers(-9, 9)), max_size=4)


@given(st.lists(st.lists(PAIRS, max_size=4), min_size=1, max_size=4))
def test_columns_appended_one_after_the_other_are_all_their_lists(parts: list[list[list[tuple[int, int]]]]) -> None:
    """Lists of pairs, which lie flat in their column, into the rows of a matrix."""
    lists = [one for part in parts for one in part]
    values, offsets = np.zeros((sum(map(len, lists)), 2), np.int16), np.zeros(len(lists) + 1, np.int64)
    row = 0
    for part in parts:
        flat = [[number for pair in one for number in pair] for one in part]
        append(pa.chunked_array([flat], pa.large_list(pa.int16())), values, offsets, row)
        row += len(part)
    assert [[tuple(pair) for pair in values[a:b].tolist()] for a, b in pairwise(offsets)] == lists
