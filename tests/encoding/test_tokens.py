from __future__ import annotations

import pickle
import time
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kartoteka.encoding.encoder import load_encoder
from kartoteka.encoding.tokens import Tokens

LISTS = st.lists(st.lists(st.integers(0, 2**31 - 1), max_size=9), max_size=12)


def lists(tokens):
    return [tokens.ids[a:b].tolist() for a, b in pairwise(tokens.offsets)]


def check(tokens):
    assert (tokens.ids.dtype, tokens.offsets.dtype, tokens.truncated.dtype) == (np.int32, np.int64, bool)
    assert len(tokens.truncated) == len(tokens)
    assert tokens.offsets[0] == 0


@given(LISTS)
def test_round_trip(values):
    tokens = Tokens.from_lists(values)
    check(tokens)
    assert lists(tokens) == values
    assert lists(pickle.loads(pickle.dumps(tokens))) == values
    assert tokens.lengths.tolist() == [len(v) for v in values]


@given(LISTS, st.integers(0, 14), st.integers(0, 14))
def test_slice(values, start, stop):
    part = Tokens.from_lists(values, [len(v) > 4 for v in values]).slice(start, stop)
    check(part)
    assert lists(part) == values[start:stop]
    assert part.truncated.tolist() == [len(v) > 4 for v in values[start:stop]]


@given(st.lists(LISTS, max_size=4))
def test_concatenate(parts):
    joined = Tokens.concatenate(Tokens.from_lists(part) for part in parts)
    check(joined)
    assert lists(joined) == [v for part in parts for v in part]


def test_same_ids_as_the_model_and_truncation_is_stated(tiny, texts):
    from transformers import AutoTokenizer

    tokens = load_encoder(str(tiny("bert"))).tokenise(texts)
    theirs = AutoTokenizer.from_pretrained(tiny("bert"))
    full = [len(theirs(text)["input_ids"]) for text in texts]
    assert lists(tokens) == [theirs(text, truncation=True, max_length=48)["input_ids"] for text in texts]
    assert tokens.truncated.tolist() == [length > 48 for length in full]
    assert tokens.num_truncated == sum(length > 48 for length in full) > 0


@pytest.mark.parametrize("lead", ["", "  " * 4000, "zzzz" * 3000])
def test_a_huge_text_is_read_only_as_far_as_needed(tiny, lead):
    encoder = load_encoder(str(tiny("bert")))
    huge = lead + " cat dog" * 3_000_000
    start = time.process_time()
    tokens = encoder.tokenise(["cat", huge])
    assert time.process_time() - start < 20  # whole, it would be minutes
    assert lists(tokens)[1] == lists(encoder.tokenise([lead + " cat dog" * 500]))[0]
    assert tokens.truncated.tolist() == [False, True]
