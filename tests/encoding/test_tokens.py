from __future__ import annotations

import pickle
import time
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kartoteka.encoding.encoder import load_encoder
from kartoteka.encoding.models import resolve_model
from kartoteka.encoding.spans import words_of
from kartoteka.encoding.tokens import TextTokeniser, Tokens
from kartoteka.encoding.transformer import load_tokenizer

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


@pytest.mark.parametrize("prompt", ["", "cat zzz: "])
@pytest.mark.parametrize("kind", ["bert", "roberta"])
@pytest.mark.parametrize("limit", [3, 9, 17, 48])
def test_the_tokens_of_a_word_are_those_it_has_alone(tiny, texts, kind, prompt, limit):
    """Whatever stands around it: the tiny tokenisers split at words."""
    model = resolve_model(str(tiny(kind)))
    tokeniser = TextTokeniser(load_tokenizer(model)[0], limit, prompt=prompt)
    separated = [f"{text}. {text}'s c++ graph's" for text in texts if "pad" not in text]  # which is a special token
    wanted = tokeniser(separated)
    tokens, places = tokeniser.with_words(separated, ". ")
    assert lists(tokens) == lists(wanted)
    assert tokens.truncated.tolist() == wanted.truncated.tolist()
    assert (places.first.dtype, places.last.dtype, places.offsets.dtype) == (np.int16, np.int16, np.int64)
    whole = load_tokenizer(model)[0]
    whole.no_truncation()
    for text, ids, (start, stop) in zip(separated, lists(tokens), pairwise(places.offsets), strict=True):
        words = words_of(text, ". ")
        # Read is each word up to whose end the text fits, with two special tokens.
        read = [len(whole.encode(prompt + text[:b], add_special_tokens=False).ids) + 2 <= limit for _, b in words]
        assert stop - start == sum(read)
        for (a, b), first, last in zip(words, places.first[start:stop], places.last[start:stop], strict=False):
            assert ids[first : last + 1] == whole.encode(text[a:b], add_special_tokens=False).ids


def test_words_of_many_texts_and_of_none(tiny):
    tokeniser = TextTokeniser(load_tokenizer(resolve_model(str(tiny("bert"))))[0], 48)
    tokens, places = tokeniser.with_words(["cat. dog"] * 5000, ". ")
    assert len(tokens) == 5000
    assert places.offsets.tolist() == list(range(0, 10_001, 2))
    assert set(places.first.tolist()) == {1, 3}
    tokens, places = tokeniser.with_words([], ". ")
    assert len(tokens) == 0
    assert places.offsets.tolist() == [0]
