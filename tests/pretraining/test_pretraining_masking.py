"""What is hidden and what is asked."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from kartoteka.pretraining.masking import IGNORED, Vocabulary, hide

WORDS = Vocabulary(50, 4, np.arange(5))


@settings(max_examples=50, deadline=None)
@given(ids=st.lists(st.integers(0, 49)), share=st.floats(0.05, 0.95), seed=st.integers(0, 99))
def test_what_is_not_asked_is_shown_and_marks_are_never_asked(ids, share, seed):
    tokens = np.array(ids, np.int32)
    shown, targets = hide(tokens, WORDS, share, np.random.default_rng(seed))
    asked = targets != IGNORED
    assert np.array_equal(shown[~asked], tokens[~asked])
    assert np.array_equal(targets[asked], tokens[asked])
    assert not np.isin(tokens[asked], WORDS.marks).any()
    again = hide(tokens, WORDS, share, np.random.default_rng(seed))
    assert np.array_equal(shown, again[0])
    assert np.array_equal(targets, again[1])


def test_shares_are_devlins():
    tokens = np.random.default_rng(0).integers(5, 50, 200_000)
    shown, targets = hide(tokens, WORDS, 0.3, np.random.default_rng(1))
    asked = targets != IGNORED
    assert abs(asked.mean() - 0.3) < 0.005
    masked = shown[asked] == WORDS.mask
    # A drawn token is the mask, or the very token, once in 50 times
    assert abs(masked.mean() - (0.8 + 0.1 / 50)) < 0.005
    kept = shown[asked] == tokens[asked]
    assert abs(kept.mean() - (0.1 + 0.1 / 50)) < 0.005
    drawn = shown[asked][~masked & ~kept]
    assert set(drawn.tolist()) == set(range(50)) - {WORDS.mask}
