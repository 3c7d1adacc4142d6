"""What the gathering kernels remember of one document: marks that tell it from the one before, so none is wiped."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from kartoteka.keyphrases.archive import LONGEST_PHRASE, ArchiveArrays
from kartoteka.keyphrases.hashing import table_get
from kartoteka.keyphrases.pool import Asked, Pool
from kartoteka.keyphrases.words import TextArrays


class Scratch(NamedTuple):
    """Marks by phrase or word that hold a document's number, so that none has to be wiped; `slot` is wiped."""

    slot: np.ndarray  # phrase -> its row in this document
    unknown: np.ndarray  # phrases that no other document carries
    carried: np.ndarray  # phrases that this document carries
    touched: np.ndarray  # phrases that a left-out document carries
    left_out: np.ndarray  # phrase -> how many of those, where touched
    in_title: np.ndarray
    in_text: np.ndarray
    stands: np.ndarray  # phrases found in the text
    found: np.ndarray
    covered: np.ndarray


@njit(cache=True)
def new_scratch(archive: ArchiveArrays, texts: TextArrays) -> Scratch:
    """Marks of nothing, with room for the longest of the texts."""
    n_phrases, n_words = archive.df.size, archive.word_df.size
    room = 1
    for d in range(texts.title_offsets.size - 1):
        room = max(room, texts.title_offsets[d + 1] - texts.title_offsets[d])
        room = max(room, texts.abstract_offsets[d + 1] - texts.abstract_offsets[d])
    return Scratch(
        np.full(n_phrases, -1, np.int64), np.full(n_phrases, -1, np.int64), np.full(n_phrases, -1, np.int64),
        np.full(n_phrases, -1, np.int64), np.zeros(n_phrases, np.int32),
        np.full(n_words, -1, np.int64), np.full(n_words, -1, np.int64), np.full(n_phrases, -1, np.int64),
        np.empty((room * LONGEST_PHRASE, 3), np.int32), np.empty(room + 1, np.int64),
    )  # fmt: skip


@njit(cache=True)
def mark(archive: ArchiveArrays, texts: TextArrays, asked: Asked, d: int, scratch: Scratch) -> None:
    """Mark what left-out documents carry, and which words stand in the text of document `d`."""
    for i in range(asked.left_offsets[d], asked.left_offsets[d + 1]):
        number = asked.left_out[i]
        for j in range(archive.doc_offsets[number], archive.doc_offsets[number + 1]):
            p = archive.doc_phrases[j]
            if number == asked.own[d]:
                scratch.carried[p] = d
            if scratch.touched[p] != d:
                scratch.touched[p] = d
                scratch.left_out[p] = 0
            scratch.left_out[p] += 1
            if scratch.left_out[p] == archive.df[p]:
                scratch.unknown[p] = d
    for j in range(texts.title_offsets[d], texts.title_offsets[d + 1]):
        w = table_get(archive.word_keys, archive.word_values, texts.title[j])
        if w >= 0:
            scratch.in_title[w] = d
            scratch.in_text[w] = d
    for j in range(texts.abstract_offsets[d], texts.abstract_offsets[d + 1]):
        w = table_get(archive.word_keys, archive.word_values, texts.abstract[j])
        if w >= 0:
            scratch.in_text[w] = d


@njit(cache=True)
def row_of(p: int, row: int, pool: Pool, scratch: Scratch) -> int:
    """The row of phrase `p` in this document; `row`, the next free one, when it is new."""
    if scratch.slot[p] >= 0:
        return scratch.slot[p]
    scratch.slot[p] = row
    pool.phrase[row] = p
    return row
