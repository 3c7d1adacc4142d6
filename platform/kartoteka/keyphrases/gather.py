"""The pool of candidates: from the text, the neighbours and the terms of one document after the other, compiled."""

from __future__ import annotations

import numpy as np
from numba import njit

from kartoteka.keyphrases.archive import LONGEST_PHRASE, ArchiveArrays
from kartoteka.keyphrases.matching import find_known
from kartoteka.keyphrases.pool import (
    BEST,
    COUNT,
    EXCESS,
    EXPLAINED,
    NEAR,
    NEIGHBOUR,
    RANK,
    RECIPROCAL,
    SUM,
    SUPPORTED,
    TEXT,
    VOTES,
    Asked,
    Pool,
    TermArrays,
)
from kartoteka.keyphrases.scratch import Scratch, mark, new_scratch, row_of
from kartoteka.keyphrases.standing import add_terms, find_in_text, share_words
from kartoteka.keyphrases.words import TextArrays


@njit(cache=True)
def gather(archive: ArchiveArrays, texts: TextArrays, terms: TermArrays, asked: Asked) -> Pool:
    """The pool of n documents.

    A phrase carried by left-out documents only is unknown, as it is to a new document: its numbers in the archive are
    not used, and it is found only if it is among the document's own terms.
    """
    n, lists, _ = asked.numbers.shape
    scratch = new_scratch(archive, texts)
    most = _most_candidates(archive, texts, terms, asked, scratch.found)
    pool = Pool(
        np.zeros(n + 1, np.int64), np.full(most, -1, np.int32), np.full(most, -1, np.int32), np.zeros(most, np.uint8),
        np.zeros(most, np.bool_), np.zeros(most, np.int32), np.zeros((most, len(TEXT)), np.float32),
        np.zeros((most, lists, len(VOTES)), np.float32), np.full((most, lists, EXPLAINED), -1, np.int64),
    )  # fmt: skip
    row = 0
    for d in range(n):
        base = row
        mark(archive, texts, asked, d, scratch)
        row = find_in_text(archive, texts, d, row, pool, scratch)
        row = _ask_neighbours(archive, asked, d, row, pool, scratch)
        row = add_terms(archive, texts, terms, d, row, pool, scratch)
        share_words(archive, texts, terms, asked, d, base, row, pool, scratch)
        for c in range(base, row):
            if pool.phrase[c] >= 0:
                p = pool.phrase[c]
                pool.own[c] = scratch.carried[p] == d
                pool.left_out[c] = scratch.left_out[p] if scratch.touched[p] == d else 0
                scratch.slot[p] = -1
        pool.offsets[d + 1] = row
    return Pool(
        pool.offsets, pool.phrase[:row].copy(), pool.term[:row].copy(), pool.origin[:row].copy(),
        pool.own[:row].copy(), pool.left_out[:row].copy(), pool.text[:row].copy(), pool.votes[:row].copy(),
        pool.carriers[:row].copy(),
    )  # fmt: skip


@njit(cache=True)
def _most_candidates(
    archive: ArchiveArrays, texts: TextArrays, terms: TermArrays, asked: Asked, found: np.ndarray
) -> int:
    most = terms.offsets[-1]
    keys, values = archive.form_keys, archive.form_values
    n, lists, k = asked.numbers.shape
    for d in range(n):
        t, a = texts.title_offsets, texts.abstract_offsets
        most += find_known(texts.title, t[d], t[d + 1], keys, values, LONGEST_PHRASE, found)
        most += find_known(texts.abstract, a[d], a[d + 1], keys, values, LONGEST_PHRASE, found)
        for r in range(lists):
            for i in range(k):
                number = asked.numbers[d, r, i]
                if number >= 0:
                    most += archive.doc_offsets[number + 1] - archive.doc_offsets[number]
    return most


@njit(cache=True)
def _ask_neighbours(archive: ArchiveArrays, asked: Asked, d: int, row: int, pool: Pool, scratch: Scratch) -> int:
    _, lists, k = asked.numbers.shape
    n_archive = archive.doc_offsets.size - 1
    for r in range(lists):
        total, floor, size = 0.0, 0.0, 0
        for i in range(k):
            if asked.numbers[d, r, i] >= 0:
                floor = asked.scores[d, r, i]
                total += floor
                size += 1
        spare, total = max(total - size * floor, 1e-6), max(total, 1e-6)
        for i in range(size):
            number, score = asked.numbers[d, r, i], asked.scores[d, r, i]
            start, stop = archive.doc_offsets[number], archive.doc_offsets[number + 1]
            support = 0.0
            for j in range(start, stop):
                p = archive.doc_phrases[j]
                if scratch.stands[p] == d:
                    support += np.log((n_archive + 1.0) / (archive.df[p] + 1.0))
            for j in range(start, stop):
                p = archive.doc_phrases[j]
                c = row_of(p, row, pool, scratch)
                row = max(row, c + 1)
                pool.origin[c] |= NEIGHBOUR
                votes = pool.votes[c, r]
                seen = int(votes[COUNT])
                if seen == 0:
                    votes[BEST] = score / max(asked.scores[d, r, 0], 1e-6)
                    votes[RANK] = i + 1
                if seen < EXPLAINED:
                    pool.carriers[c, r, seen] = number
                others = support
                if scratch.stands[p] == d:
                    others -= np.log((n_archive + 1.0) / (archive.df[p] + 1.0))
                votes[SUM] += score / total
                votes[EXCESS] += (score - floor) / spare
                votes[RECIPROCAL] += 1.0 / (i + 5.0)
                votes[COUNT] += 1
                votes[NEAR] += 1 if i < 5 else 0
                votes[SUPPORTED] += score / total * others
    return row
