"""Lists picked out of a ragged array are those that slicing gives."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from kartoteka.ragged import pick


@given(st.lists(st.lists(st.integers(-9, 9), max_size=5), min_size=1, max_size=8), st.data())
def test_picked_lists_are_the_slices(lists: list[list[int]], data: st.DataObject) -> None:
    rows = data.draw(st.lists(st.integers(0, len(lists) - 1), max_size=6))
    values = np.array([value for one in lists for value in one], np.int32)
    offsets = np.cumsum([0, *map(len, lists)])
    picked, bounds = pick(values, offsets, np.array(rows, np.int64))
    assert picked.dtype == np.int32
    assert bounds.dtype == np.int64
    assert [picked[a:b].tolist() for a, b in pairwise(bounds)] == [lists[row] for row in rows]
