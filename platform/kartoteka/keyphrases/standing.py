"""Candidates from the document's own text: known phrases that stand in it, its terms, and how much of each is there."""

from __future__ import annotations

import numpy as np
from numba import njit

from kartoteka.keyphrases.archive import LONGEST_PHRASE, ArchiveArrays
from kartoteka.keyphrases.hashing import fold, table_get
from kartoteka.keyphrases.matching import find_known, find_words
from kartoteka.keyphrases.pool import (
    ABSTRACT_COUNT,
    EXTRACTED,
    FIRST,
    FREE_COUNT,
    LAST,
    SHARE,
    TERM_COUNT,
    TERM_RANK,
    TEXT_WORDS,
    TITLE_COUNT,
    TITLE_SHARE,
    VOCABULARY,
    WEIGHTED_SHARE,
    WORDS,
    Asked,
    Pool,
    TermArrays,
)
from kartoteka.keyphrases.scratch import Scratch, row_of
from kartoteka.keyphrases.words import TextArrays


@njit(cache=True)
def _stand(text: np.ndarray, c: int, column: int, position: int, free: bool) -> None:
    if text[c, TITLE_COUNT] + text[c, ABSTRACT_COUNT] == 0:
        text[c, FIRST] = position
    text[c, column] += 1
    text[c, LAST] = position
    if free:
        text[c, FREE_COUNT] += 1


@njit(cache=True)
def find_in_text(archive: ArchiveArrays, texts: TextArrays, d: int, row: int, pool: Pool, scratch: Scratch) -> int:
    """Add the archive's phrases that stand in the text of document `d`, row by row from `row`; the next free row."""
    found, covered = scratch.found, scratch.covered
    n_title = texts.title_offsets[d + 1] - texts.title_offsets[d]
    for column in range(2):
        words, offsets = (texts.title, texts.title_offsets) if column == 0 else (texts.abstract, texts.abstract_offsets)
        n = find_known(words, offsets[d], offsets[d + 1], archive.form_keys, archive.form_values, LONGEST_PHRASE, found)
        # covered[i]: how far the known phrases reach that start at i or before
        size = offsets[d + 1] - offsets[d]
        covered[:size] = 0
        for i in range(n):
            if scratch.unknown[found[i, 0]] != d:
                covered[found[i, 1]] = max(covered[found[i, 1]], found[i, 1] + found[i, 2])
        for i in range(1, size):
            covered[i] = max(covered[i], covered[i - 1])
        for i in range(n):
            p, at, length = found[i, 0], found[i, 1], found[i, 2]
            if scratch.unknown[p] == d:
                continue
            c = row_of(p, row, pool, scratch)
            row = max(row, c + 1)
            scratch.stands[p] = d
            pool.origin[c] |= VOCABULARY
            free = covered[at] <= at + length and (at == 0 or covered[at - 1] < at + length)
            _stand(pool.text, c, column, at + column * n_title, free)
    return row


@njit(cache=True)
def add_terms(
    archive: ArchiveArrays, texts: TextArrays, terms: TermArrays, d: int, row: int, pool: Pool, scratch: Scratch
) -> int:
    """Add the document's own terms, to the rows of the phrases they are where they are known; the next free row."""
    n_title = texts.title_offsets[d + 1] - texts.title_offsets[d]
    for e in range(terms.offsets[d], terms.offsets[d + 1]):
        w0, w1 = terms.word_offsets[e], terms.word_offsets[e + 1]
        h = np.uint64(0)
        for j in range(w0, w1):
            h = fold(h, terms.words[j])
        p = table_get(archive.form_keys, archive.form_values, h)
        if p >= 0 and scratch.unknown[p] != d:
            c = row_of(p, row, pool, scratch)
        else:
            c = row
            pool.own[c] = p >= 0 and scratch.carried[p] == d
        if c == row:
            row += 1
            for column in range(2):
                words, offsets = (
                    (texts.title, texts.title_offsets) if column == 0 else (texts.abstract, texts.abstract_offsets)
                )
                n = find_words(words, offsets[d], offsets[d + 1], terms.words[w0:w1], scratch.found)
                for i in range(n):
                    _stand(pool.text, c, column, scratch.found[i, 1] + column * n_title, True)
        if pool.term[c] < 0:
            pool.term[c] = e
            pool.origin[c] |= EXTRACTED
            pool.text[c, TERM_RANK] = e - terms.offsets[d] + 1
            pool.text[c, TERM_COUNT] = terms.counts[e]
    return row


@njit(cache=True)
def share_words(
    archive: ArchiveArrays,
    texts: TextArrays,
    terms: TermArrays,
    asked: Asked,
    d: int,
    base: int,
    row: int,
    pool: Pool,
    scratch: Scratch,
) -> None:
    """Fill in, for rows `base:row`, how many of a phrase's words stand in the text, weighted by their rarity or not."""
    itself = 1 if asked.own[d] >= 0 else 0
    n_archive = archive.doc_offsets.size - 1 - itself
    length = texts.title_offsets[d + 1] - texts.title_offsets[d]
    length += texts.abstract_offsets[d + 1] - texts.abstract_offsets[d]
    for c in range(base, row):
        text, p = pool.text[c], pool.phrase[c]
        if text[TITLE_COUNT] + text[ABSTRACT_COUNT] == 0:
            text[FIRST] = -1
            text[LAST] = -1
        if p >= 0:
            form = archive.form_of[p, asked.columns[d]]
            start, stop = archive.form_offsets[form], archive.form_offsets[form + 1]
        else:
            start, stop = terms.word_offsets[pool.term[c]], terms.word_offsets[pool.term[c] + 1]
        size, known, known_title, weight, known_weight = stop - start, 0, 0, 0.0, 0.0
        for j in range(start, stop):
            w = archive.form_words[j] if p >= 0 else table_get(archive.word_keys, archive.word_values, terms.words[j])
            here = p < 0 or scratch.in_text[w] == d
            others = archive.word_df[w] - (itself if here else 0) if w >= 0 else 0
            idf = np.log((n_archive + 1.0) / (max(others, 0) + 0.5))
            weight += idf
            if here:
                known += 1
                known_weight += idf
                known_title += 1 if w >= 0 and scratch.in_title[w] == d else 0
        text[SHARE] = known / max(size, 1)
        text[TITLE_SHARE] = known_title / max(size, 1)
        text[WEIGHTED_SHARE] = known_weight / max(weight, 1e-6)
        text[WORDS] = size
        text[TEXT_WORDS] = length
