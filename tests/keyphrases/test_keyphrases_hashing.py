"""Hashes of words and phrases, and the table they are looked up in."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from kartoteka.keyphrases.hashing import EMPTY, fold_rows, hash_words, table_build, table_get_all


def test_words_hash_to_the_published_fnv_values() -> None:
    # http://www.isthe.com/chongo/src/fnv/test_fnv.c, FNV-1a 64 of "", "a", "foobar"
    expected = [0xCBF29CE484222325, 0xAF63DC4C8601EC8C, 0x85944171F73967E8]
    assert hash_words(["", "a", "foobar"]).tolist() == expected


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text(max_size=12), max_size=40))
def test_equal_words_and_only_they_hash_alike(words: list[str]) -> None:
    hashes = hash_words(words)
    assert (hashes != EMPTY).all()
    assert len(set(hashes.tolist())) == len(set(words))
    assert hash_words(words[::-1]).tolist() == hashes[::-1].tolist()


def test_a_phrase_is_its_words_in_order() -> None:
    words = hash_words(["data", "base", "base", "data", "data"])
    ab, ba, a, none = fold_rows(words, np.array([0, 2, 4, 5, 5]))
    assert len({ab, ba, a, words[0]}) == 4
    assert none == EMPTY


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 2**64 - 1), max_size=60), st.lists(st.integers(0, 2**64 - 1), max_size=20))
def test_table_finds_the_first_of_equal_keys_and_nothing_else(keys: list[int], others: list[int]) -> None:
    table = table_build(np.array(keys, np.uint64), np.arange(len(keys), dtype=np.int32))
    asked = keys + others + [0]
    first: dict[int, int] = {}
    for i, key in enumerate(keys):
        first.setdefault(key, i)
    first.pop(0, None)
    assert table_get_all(*table, np.array(asked, np.uint64)).tolist() == [first.get(key, -1) for key in asked]
