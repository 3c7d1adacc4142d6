"""Hashed n-grams against a slow Python of the same definition, and against what they are for."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kartoteka.sentiment.grams import Shape, count_grams, standard

SHAPE = Shape(1, 4, 12)
ALPHABET = st.sampled_from([*"абвёЁИ ййab1)(:!?-_\n\t 😀é😡", "е\u0308", "\u0301", "\u00a0", "\ud800", "\ufe0f", "İ"])
TEXTS = st.lists(st.lists(ALPHABET, max_size=30).map("".join), max_size=6)


def fold(state: int, word: int) -> int:
    mask, mix = 2**64 - 1, 0x9E3779B97F4A7C15
    h = (state ^ word) * mix & mask
    h ^= h >> 32
    h = (h * mix + 1) & mask
    h ^= h >> 29
    return h or 1


def folded(state: int, words: list[int]) -> int:
    for word in words:
        state = fold(state, word)
    return state


def is_word(char: str) -> bool:
    return ord(char) < 0xFFFF and not char.isspace() and (char.isalnum() or unicodedata.combining(char) > 0)


def reference(text: str, shape: Shape) -> dict[int, int]:
    """Counts by bucket, in order of appearance."""
    text = re.sub(r"(?s)(.)\1{3,}", r"\1\1\1", unicodedata.normalize("NFC", text).lower().replace("ё", "е"))
    words = re.findall(r"\S+", text)
    grams, before = [], None
    for word in words:
        for token in re.findall(r"w+|s+", "".join("w" if is_word(c) else "s" for c in word)):
            own, word = word[: len(token)], word[len(token) :]
            hashed = folded(1, [ord(c) for c in own])
            grams.append(hashed >> (64 - shape.bits))
            if before is not None:
                grams.append(folded(2, [before, hashed]) >> (64 - shape.bits))
            before = hashed
    for word in words:
        padded = f" {word} "
        for first in range(len(padded)):
            for size in range(shape.shortest, shape.longest + 1):
                run = padded[first : first + size]
                if first + size <= len(padded) and run != " ":
                    hashed = folded(3, [ord(c) for c in run])
                    grams.append((1 << shape.bits) + (hashed >> (64 - shape.bits)))
    return dict(Counter(grams))


@settings(max_examples=200, deadline=None)
@given(texts=TEXTS, shortest=st.integers(1, 3), more=st.integers(0, 3), bits=st.sampled_from([8, 12, 17]))
@example(texts=["Не понравилось!!! :((((", "", " ", "ё"], shortest=1, more=4, bits=17)
def test_grams_are_those_of_a_slow_reference(texts, shortest, more, bits):
    shape = Shape(shortest, shortest + more, bits)
    grams = count_grams(texts, shape)
    assert grams.offsets[0] == 0
    for i, text in enumerate(texts):
        own = slice(grams.offsets[i], grams.offsets[i + 1])
        found = list(zip(grams.buckets[own].tolist(), grams.counts[own].tolist(), strict=True))
        assert found == list(reference(text, shape).items())


def test_the_hash_is_the_same_for_ever():
    """A model is of no use where its buckets are others."""
    grams = count_grams(["Да )))"], Shape(2, 3, 17))
    assert grams.buckets[:3].tolist() == [2263, 47177, 4975]  # `да`, `)))`, the two
    assert grams.buckets[3:8].tolist() == [197064, 144732, 232728, 189055, 246061]  # ` д`, ` да`, `да`, `да `, `а `
    assert grams.buckets[8:].tolist() == [250581, 239872, 238383, 134870, 234407, 137010]
    assert grams.counts.tolist() == [1] * 10 + [2, 1, 1, 1]  # `))` twice


@pytest.mark.parametrize(
    ("one", "other"),
    [("ЁЖ", "еж"), ("е\u0308ж", "еж"), ("супееееееер", "супееер"), ("ура!!!!!!!", "ура!!!")],
)
def test_spellings_that_are_one(one, other):
    assert standard(one) == other
    pair = count_grams([one, other], SHAPE)
    half = pair.offsets[1]
    assert np.array_equal(pair.buckets[:half], pair.buckets[half:])


@settings(max_examples=60, deadline=None)
@given(texts=TEXTS)
def test_the_grams_of_a_text_do_not_depend_on_its_company(texts):
    together = count_grams(texts, SHAPE)
    for i, text in enumerate(texts):
        alone = count_grams([text], SHAPE)
        own = slice(together.offsets[i], together.offsets[i + 1])
        assert np.array_equal(together.buckets[own], alone.buckets)
        assert np.array_equal(together.counts[own], alone.counts)
