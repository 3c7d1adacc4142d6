"""Candidates read in place: what a trained ranker's encoder gives the places of the text where each of them stands.

The scores come from the text alone, so that there is nothing to leave out of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numba import njit

from kartoteka.encoding.spans import MISSING, Spans
from kartoteka.keyphrases.archive import LONGEST_PHRASE, ArchiveArrays
from kartoteka.keyphrases.matching import find_known, find_words
from kartoteka.keyphrases.pool import Pool, TermArrays
from kartoteka.keyphrases.words import TextArrays

#: Columns of `span_features`, of the scores where a candidate stands: the best, the logarithm of the sum of their
#: exponentials, that of the first place, and the best less that of the document's best candidate.
SPANS = ("span_best", "span_sum", "span_first", "span_below_best")
BEST, SUM, FIRST, BELOW_BEST = range(len(SPANS))


class Trained(NamedTuple):
    """What a trained ranker's encoder makes of n documents.

    `vectors` float [n, e] of unit length; `spans` of their titles and abstracts, None by an encoder without a head.
    """

    vectors: np.ndarray
    spans: Spans | None = None

    def slice(self, start: int, stop: int) -> Trained:
        """Documents start..stop."""
        return Trained(self.vectors[start:stop], self.spans and self.spans.slice(start, stop))

    @staticmethod
    def concatenate(parts: Sequence[Trained]) -> Trained:
        """The documents of all `parts`, at least one, in order; with spans where they have them."""
        spans = [part.spans for part in parts if part.spans is not None]
        return Trained(np.concatenate([part.vectors for part in parts]), Spans.concatenate(spans) if spans else None)


def span_features(archive: ArchiveArrays, texts: TextArrays, terms: TermArrays, pool: Pool, spans: Spans) -> np.ndarray:
    """float32 [m, len(SPANS)]; `MISSING` where a candidate stands nowhere that was read, or is longer than a span."""
    room = max(int(np.diff(offsets).max(initial=1)) for offsets in (texts.title_offsets, texts.abstract_offsets))
    out = np.full((len(pool.phrase), len(SPANS)), MISSING, np.float32)
    scores = np.asarray(spans.scores, np.float32)
    found = np.empty((room * LONGEST_PHRASE, 3), np.int32)
    _read(archive, texts, terms, pool, scores, spans.offsets, found, out)
    return out


@njit(cache=True)
def _read(
    archive: ArchiveArrays,
    texts: TextArrays,
    terms: TermArrays,
    pool: Pool,
    scores: np.ndarray,
    offsets: np.ndarray,
    found: np.ndarray,
    out: np.ndarray,
) -> None:
    row_of = np.full(archive.df.size, -1, np.int64)  # phrase -> its row in this document
    for d in range(offsets.size - 1):
        first, last = pool.offsets[d], pool.offsets[d + 1]
        own = scores[offsets[d] : offsets[d + 1]]
        for c in range(first, last):
            if pool.phrase[c] >= 0:
                row_of[pool.phrase[c]] = c
        n_title = texts.title_offsets[d + 1] - texts.title_offsets[d]
        for column in range(2):
            words, at = (texts.title, texts.title_offsets) if column == 0 else (texts.abstract, texts.abstract_offsets)
            before = column * n_title
            n = find_known(words, at[d], at[d + 1], archive.form_keys, archive.form_values, LONGEST_PHRASE, found)
            for i in range(n):
                c = row_of[found[i, 0]]
                if c >= 0:
                    _add(own, before + found[i, 1], found[i, 2], out[c])
            for c in range(first, last):
                if pool.phrase[c] < 0:
                    start, stop = terms.word_offsets[pool.term[c]], terms.word_offsets[pool.term[c] + 1]
                    n = find_words(words, at[d], at[d + 1], terms.words[start:stop], found)
                    for i in range(n):
                        _add(own, before + found[i, 1], stop - start, out[c])
        _compare(out[first:last])
        for c in range(first, last):
            if pool.phrase[c] >= 0:
                row_of[pool.phrase[c]] = -1


@njit(cache=True)
def _add(scores: np.ndarray, place: int, words: int, row: np.ndarray) -> None:
    """Add one place to a candidate's `row`, in the order of the text, if its words were read."""
    if place + words > scores.shape[0] or words > scores.shape[1]:
        return
    score = scores[place, words - 1]
    if row[BEST] == MISSING:
        row[BEST], row[SUM], row[FIRST] = score, score, score
    else:
        row[BEST] = max(row[BEST], score)
        row[SUM] = np.logaddexp(row[SUM], score)


@njit(cache=True)
def _compare(rows: np.ndarray) -> None:
    """Fill in `BELOW_BEST` of one document's candidates."""
    best = rows[:, BEST].max() if len(rows) else MISSING
    for row in rows:
        if row[BEST] > MISSING:
            row[BELOW_BEST] = row[BEST] - best
