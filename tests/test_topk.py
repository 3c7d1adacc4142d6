"""The loops under both indexes, against sorting."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kartoteka.topk import collect, insert, kth_largest, prune

VALUES = st.lists(st.integers(0, 20), min_size=1, max_size=120)


@settings(deadline=None)
@given(VALUES, st.integers(1, 30))
def test_a_list_holds_the_best_in_order_of_score_then_number(values: list[int], k: int) -> None:
    numbers, scores, count = np.full(k, -1, np.int64), np.zeros(k, np.float32), 0
    for number in np.random.default_rng(len(values)).permutation(len(values)):
        count = insert(numbers, scores, count, number, np.float32(values[number]))
    expected = sorted(range(len(values)), key=lambda number: (-values[number], number))[:k]
    assert numbers[:count].tolist() == expected
    assert scores[:count].tolist() == [values[number] for number in expected]


@settings(deadline=None)
@given(VALUES, st.data())
def test_the_kth_largest_is_that_of_the_sorted_values(values: list[int], data: st.DataObject) -> None:
    k = data.draw(st.integers(1, len(values)))
    work = np.empty(len(values), np.int64)
    assert kth_largest(np.array(values), len(values), k, work) == sorted(values, reverse=True)[k - 1]


def gather(bounds: np.ndarray, k: int, slack: object, capacity: int, runs: int) -> list[int] | None:
    """What `collect` and `prune` leave of all bounds, which come 4 runs at a time; None where the list is too short."""
    kind = np.int64 if bounds.dtype == np.uint16 else np.float32
    held, found = np.empty(capacity, kind), np.empty(capacity, np.int64)
    work = np.empty(max(capacity, runs), kind)
    count, keep, limit = 0, kind(0), min(capacity, 2 * k + 64)
    for low in range(0, len(bounds), 4 * runs):
        values = bounds[low : low + 4 * runs]
        largest = np.zeros(runs, bounds.dtype)
        for s in range(min(runs, len(values))):
            largest[s] = values[s::runs].max()
        count, keep, limit = collect(values, low, largest, k, slack, held, found, count, kind(keep), limit, work)
        if count < 0:
            return None
    count = prune(held, found, count, k, slack, work)
    np.testing.assert_array_equal(held[:count], bounds[found[:count]])
    return found[:count].tolist()


@settings(deadline=None)
@given(
    st.lists(st.integers(0, 400), min_size=1, max_size=400), st.integers(1, 12), st.integers(0, 9),
    st.sampled_from([np.uint16, np.float32]), st.integers(0, 99),
)  # fmt: skip
def test_nothing_that_may_be_among_the_best_is_lost(true: list[int], k: int, slack: int, kind: type, seed: int) -> None:
    bounds = (np.array(true) + np.random.default_rng(seed).integers(0, slack + 1, len(true))).astype(kind)
    found = gather(bounds, k, kind(slack) if kind == np.float32 else slack, len(true) + 300, 8)
    assert found is not None
    assert len(set(found)) == len(found)
    least = sorted(true, reverse=True)[min(k, len(true)) - 1]
    assert {number for number, value in enumerate(true) if value >= least} <= set(found)
    if len(true) > k:
        assert bounds[found].min() >= int(np.sort(bounds)[-k]) - slack


@pytest.mark.parametrize("kind", [np.uint16, np.float32])
def test_more_equal_bounds_than_there_is_room_for_are_said_to_be(kind: type) -> None:
    assert gather(np.full(3000, 7, kind), 5, kind(0) if kind == np.float32 else 0, 200, 8) is None
