"""Texts as counts of hashed n-grams: words, pairs of words, and runs of characters inside words.

A fixed function of the text, the same on every machine whose Python has the same Unicode tables:

* The text is taken in NFC and lower case, `ё` as `е`, with no character more than three times in a row.
* A token is a run of letters, digits and accents (marks with a combining class, which the vowel signs of Thai and of
  most Indic scripts lack), or a run of anything else but white space: `)))`, `!!!` and `:(` are tokens, for in a short
  text they can be all the sentiment there is. Every token counts, and every two in a row.
* Of what stands between white space, with one space put on either side, every run of `shortest` to `longest` characters
  counts, but for the lone space: endings, stems, negating prefixes, and smiles that stick to a word.
* A gram is hashed by `hashing.fold` over its code points (a pair: over the hashes of its tokens) from a seed of its
  kind; its bucket is the highest `bits` bits. Buckets of tokens and pairs come first, those of characters behind them.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
from numba import njit

from kartoteka.keyphrases.hashing import EMPTY, fold

_SPACE, _SYMBOL, _WORD = 0, 1, 2
#: Seeds of the three kinds of grams.
_TOKENS, _PAIRS, _RUNS = np.uint64(1), np.uint64(2), np.uint64(3)
_BITS = np.uint64(64)
_LONG_RUN = re.compile(r"(.)\1{3,}", re.DOTALL)
_LAST = 0xFFFF  # of the table of kinds: what lies beyond is a symbol, as this one is


class Shape(NamedTuple):
    """Runs of `shortest` to `longest` characters; 2 ** `bits` buckets for tokens with pairs, and for characters."""

    shortest: int
    longest: int
    bits: int

    @property
    def buckets(self) -> int:
        """How many there are in all."""
        return 2 << self.bits


class Grams(NamedTuple):
    """Of n texts: distinct `buckets` int32 as they first appear, their `counts` int32, `offsets` int64 [n + 1]."""

    buckets: np.ndarray
    counts: np.ndarray
    offsets: np.ndarray


def count_grams(texts: Sequence[str], shape: Shape) -> Grams:
    """The grams of each text; they do not depend on the other texts."""
    plain = [standard(text) for text in texts]
    offsets = np.zeros(len(plain) + 1, np.int64)
    np.cumsum([len(text) for text in plain], out=offsets[1:])
    # A lone surrogate is a character like another here
    chars = np.frombuffer("".join(plain).encode("utf-32-le", "surrogatepass"), np.uint32)
    kinds = _kinds()[np.minimum(chars, _LAST)]
    return Grams(*_count(chars, kinds, offsets, *shape))


def standard(text: str) -> str:
    """`text` as its grams are taken from it."""
    plain = unicodedata.normalize("NFC", text).lower().replace("ё", "е")
    return _LONG_RUN.sub(r"\1\1\1", plain)


@cache
def _kinds() -> np.ndarray:
    """What each character of the basic plane is, uint8 [65536]."""
    found = np.full(_LAST + 1, _SYMBOL, np.uint8)
    for code in range(_LAST):
        char = chr(code)
        if char.isspace():
            found[code] = _SPACE
        elif char.isalnum() or unicodedata.combining(char):
            found[code] = _WORD
    return found


@njit(cache=True, nogil=True)
def _bucket(gram: np.uint64, bits: int) -> int:
    return np.int64(gram >> (_BITS - np.uint64(bits)))


@njit(cache=True, nogil=True)
def _count(
    chars: np.ndarray, kinds: np.ndarray, offsets: np.ndarray, shortest: int, longest: int, bits: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    texts, size = offsets.size - 1, 1 << bits
    # n characters have at most n tokens and as many pairs; with spaces around them words are at most 2 n + 1 long
    most = 2 * chars.size + (longest - shortest + 1) * (2 * chars.size + texts)
    buckets, counts = np.empty(most, np.int32), np.empty(most, np.int32)
    found = np.zeros(texts + 1, np.int64)
    tally = np.zeros(2 * size, np.int32)
    end = 0
    for i in range(texts):
        begin = end
        end = _tokens(chars, kinds, offsets[i], offsets[i + 1], bits, buckets, end, tally)
        end = _runs(chars, kinds, offsets[i], offsets[i + 1], shortest, longest, bits, buckets, end, tally)
        for j in range(begin, end):
            counts[j] = tally[buckets[j]]
            tally[buckets[j]] = 0
        found[i + 1] = end
    return buckets[:end].copy(), counts[:end].copy(), found


@njit(cache=True, nogil=True)
def _add(bucket: int, buckets: np.ndarray, end: int, tally: np.ndarray) -> int:
    """Count one of `bucket`; a new one is noted at `end`. Returns the new end."""
    if tally[bucket] == 0:
        buckets[end] = bucket
        end += 1
    tally[bucket] += 1
    return end


@njit(cache=True, nogil=True)
def _tokens(
    chars: np.ndarray,
    kinds: np.ndarray,
    start: int,
    stop: int,
    bits: int,
    buckets: np.ndarray,
    end: int,
    tally: np.ndarray,
) -> int:
    """Tokens and their pairs, of the text from `start` to `stop`."""
    before, at = EMPTY, start
    while at < stop:
        kind = kinds[at]
        if kind == _SPACE:
            at += 1
            continue
        token = _TOKENS
        while at < stop and kinds[at] == kind:
            token = fold(token, np.uint64(chars[at]))
            at += 1
        end = _add(_bucket(token, bits), buckets, end, tally)
        if before != EMPTY:
            end = _add(_bucket(fold(fold(_PAIRS, before), token), bits), buckets, end, tally)
        before = token
    return end


@njit(cache=True, nogil=True)
def _runs(
    chars: np.ndarray, kinds: np.ndarray, start: int, stop: int, shortest: int, longest: int, bits: int,
    buckets: np.ndarray, end: int, tally: np.ndarray,
) -> int:  # fmt: skip
    """Runs of characters inside each word of the text from `start` to `stop`, a space on either side."""
    size, space, at = 1 << bits, np.uint64(32), start
    while at < stop:
        if kinds[at] == _SPACE:
            at += 1
            continue
        last = at
        while last < stop and kinds[last] != _SPACE:
            last += 1
        for first in range(at - 1, last):  # the space before the word is at - 1, the one behind it is last
            gram = _RUNS
            for place in range(first, min(first + longest, last + 1)):
                gram = fold(gram, np.uint64(chars[place]) if at <= place < last else space)
                if place - first + 1 >= shortest and place >= at:
                    end = _add(size + _bucket(gram, bits), buckets, end, tally)
        at = last
    return end
