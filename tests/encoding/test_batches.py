from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from kartoteka.encoding.batches import plan_batches

LENGTHS = st.lists(st.integers(0, 600), max_size=60).map(lambda values: np.array(values, np.int64))


@given(LENGTHS, st.integers(16, 1000), st.booleans())
def test_every_text_with_tokens_once_within_the_budget(lengths, budget, padded):
    batches = plan_batches(lengths, budget, padded=padded)
    numbers = [i for batch in batches for i in batch.tolist()]
    assert sorted(numbers) == np.flatnonzero(lengths).tolist()
    for batch in batches:
        cost = lengths[batch].max() * len(batch) if padded else lengths[batch].sum()
        assert cost <= budget or len(batch) == 1


@given(LENGTHS, st.integers(16, 1000), st.booleans())
def test_longest_first_and_in_order_among_equals(lengths, budget, padded):
    numbers = [i for batch in plan_batches(lengths, budget, padded=padded) for i in batch.tolist()]
    assert numbers == sorted(numbers, key=lambda i: (-lengths[i], i))


@given(LENGTHS, st.integers(16, 1000))
def test_no_batch_could_take_the_next_text(lengths, budget):
    batches = plan_batches(lengths, budget, padded=False)
    for batch, following in pairwise(batches):
        assert lengths[batch].sum() + lengths[following[0]] > budget
