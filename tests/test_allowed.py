"""A filter as a mask and as numbers: the same documents, however they are cut."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kartoteka.allowed import Allowed


@given(st.lists(st.booleans(), max_size=50), st.lists(st.integers(0, 50), max_size=4))
def test_a_mask_and_its_numbers_are_one_filter(kept: list[bool], cuts: list[int]) -> None:
    mask = np.array(kept, bool)
    ends = [0, *sorted(min(cut, len(mask)) for cut in cuts), len(mask)]
    for filtered in (Allowed.of(mask, len(mask)), Allowed.of(np.flatnonzero(mask), len(mask))):
        assert filtered is not None
        assert filtered.count == sum(kept)
        assert filtered.share == (sum(kept) / len(kept) if kept else 0)
        for low, high in itertools.pairwise(ends):
            assert filtered.mask_of(low, high).tolist() == kept[low:high]
            assert filtered.rows(low, high).tolist() == [row for row, keep in enumerate(kept[low:high]) if keep]


def test_no_filter() -> None:
    assert Allowed.of(None, 5) is None


def test_a_filter_is_checked_and_copied_once() -> None:
    numbers = np.array([1, 4])
    filtered = Allowed.of(numbers, 5)
    assert filtered.numbers is numbers
    assert Allowed.of(filtered, 5) is filtered
    with pytest.raises(ValueError, match="allowed: of 5 documents for 6"):
        Allowed.of(filtered, 6)
