"""Lists picked out of a ragged array are those that slicing gives."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from kartoteka.ragged import lists_of, pick


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
