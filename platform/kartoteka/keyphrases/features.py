"""The columns that the ranker sees, one row per candidate of the pool.

Every count of the archive leaves the document itself out: a phrase that only this document carries has document
frequency 0 here, as it would have for a new document.

One more trap of leaving out: a phrase of 413 carriers would have 412 on the documents that carry it and 413 on all
others, and trees that see both learn to tell the two apart. So counts above `FEW` are one less on every annotated
document, whether it carries the phrase or not; among small counts many phrases share each value.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from kartoteka.keyphrases.archive import Archive, ArchiveArrays
from kartoteka.keyphrases.hashing import table_get
from kartoteka.keyphrases.pool import (
    ABSTRACT_COUNT,
    COUNT,
    SUM,
    TERM_RANK,
    TEXT,
    TITLE_COUNT,
    VOTES,
    Asked,
    Pool,
    TermArrays,
)
from kartoteka.keyphrases.sources import Terms
from kartoteka.keyphrases.words import DocumentWords, TextArrays

#: Columns from the archive's statistics: of the phrase, of its words, of the document's neighbours. `coverage`: share
#: of the document's terms that the archive knows.
STATISTICS = (
    "df", "text_df", "keyphraseness", "title_keyphraseness", "language_share", "lift", "word_idf_mean", "word_idf_max",
    "word_idf_min", "word_carried_mean", "word_carried_min", "neighbour_size", "relative_vote", "pool_size",
    "coverage", "characters", "capitals",
)  # fmt: skip
(
    DF, TEXT_DF, KEYPHRASENESS, TITLE_KEYPHRASENESS, LANGUAGE_SHARE, LIFT, IDF_MEAN, IDF_MAX, IDF_MIN, CARRIED_MEAN,
    CARRIED_MIN, NEIGHBOUR_SIZE, RELATIVE_VOTE, POOL_SIZE, COVERAGE, CHARACTERS, CAPITALS,
) = range(len(STATISTICS))  # fmt: skip
#: Columns of each list of neighbours: how near the first is, and the tenth beside it.
NEARNESS = ("top_score", "score_ratio")
_NO_RANK = 99.0
#: Counts up to this leave out what the document adds to them, larger ones leave out 1.
FEW = 8


def names(lists: int) -> list[str]:
    """Names of the columns of `features` for that many lists of neighbours."""
    votes, near = ([f"{name}_{r}" for r in range(lists) for name in block] for block in (VOTES, NEARNESS))
    return [*TEXT, *votes, *STATISTICS, *near]


def features(archive: Archive, documents: DocumentWords, terms: Terms, asked: Asked, pool: Pool) -> np.ndarray:
    """float32 [m, columns], without missing values."""
    text = pool.text.copy()
    text[text[:, TERM_RANK] == 0, TERM_RANK] = _NO_RANK
    votes = pool.votes.reshape(len(text), pool.votes.shape[1] * len(VOTES))
    statistics = np.zeros((len(text), len(STATISTICS)), np.float32)
    _statistics(archive.arrays, documents.arrays, terms.arrays, asked, pool, statistics)
    known = pool.phrase >= 0
    statistics[known, CHARACTERS:] = archive.arrays.shapes[pool.phrase[known]]
    statistics[~known, CHARACTERS:] = terms.shapes[pool.term[~known]]
    top, tenth = asked.scores[:, :, 0], asked.scores[:, :, min(9, asked.scores.shape[2] - 1)]
    near = np.stack([top, tenth / np.maximum(top, 1e-6)], axis=2).reshape(len(top), len(NEARNESS) * top.shape[1])
    near = np.repeat(near, np.diff(pool.offsets), axis=0)
    return np.concatenate([text, votes, statistics, near], axis=1, dtype=np.float32)


@njit(cache=True)
def _statistics(
    archive: ArchiveArrays, texts: TextArrays, terms: TermArrays, asked: Asked, pool: Pool, out: np.ndarray
) -> None:
    in_text = np.full(archive.word_df.size, -1, np.int64)
    own_word = np.full(archive.word_df.size, -1, np.int64)
    for d in range(asked.own.size):
        _mark_own(archive, texts, asked, d, in_text, own_word)
        size, found, terms_here, known = 0, 0, 0, 0
        for i in range(min(asked.numbers.shape[2], 20)):
            number = asked.numbers[d, 0, i]
            if number >= 0:
                size += archive.doc_offsets[number + 1] - archive.doc_offsets[number]
                found += 1
        best = np.float32(1e-6)
        for c in range(pool.offsets[d], pool.offsets[d + 1]):
            best = max(best, pool.votes[c, 0, SUM])
            terms_here += 1 if pool.term[c] >= 0 else 0
            known += 1 if pool.term[c] >= 0 and pool.phrase[c] >= 0 else 0
        for c in range(pool.offsets[d], pool.offsets[d + 1]):
            row = out[c]
            _of_phrase(archive, asked, pool, c, d, found, row)
            _of_words(archive, terms, asked, pool, c, d, in_text, own_word, row)
            row[NEIGHBOUR_SIZE] = size / max(found, 1)
            row[RELATIVE_VOTE] = pool.votes[c, 0, SUM] / best
            row[POOL_SIZE] = pool.offsets[d + 1] - pool.offsets[d]
            row[COVERAGE] = known / max(terms_here, 1)


@njit(cache=True)
def _mark_own(
    archive: ArchiveArrays, texts: TextArrays, asked: Asked, d: int, in_text: np.ndarray, own_word: np.ndarray
) -> None:
    """Mark the words whose counts this annotated document is part of."""
    own = asked.own[d]
    if own < 0:
        return
    for j in range(texts.title_offsets[d], texts.title_offsets[d + 1]):
        w = table_get(archive.word_keys, archive.word_values, texts.title[j])
        if w >= 0:
            in_text[w] = d
    for j in range(texts.abstract_offsets[d], texts.abstract_offsets[d + 1]):
        w = table_get(archive.word_keys, archive.word_values, texts.abstract[j])
        if w >= 0:
            in_text[w] = d
    for j in range(archive.doc_offsets[own], archive.doc_offsets[own + 1]):
        form = archive.form_of[archive.doc_phrases[j], asked.columns[d]]
        for i in range(archive.form_offsets[form], archive.form_offsets[form + 1]):
            own_word[archive.form_words[i]] = d


@njit(cache=True)
def _without(count: int, added: int, itself: int) -> int:
    """`count` without what the document added to it; a large one less 1 for every annotated document."""
    return max(count - (added if count <= FEW else itself), 0)


@njit(cache=True)
def _of_phrase(archive: ArchiveArrays, asked: Asked, pool: Pool, c: int, d: int, found: int, row: np.ndarray) -> None:
    p = pool.phrase[c]
    itself = 1 if asked.own[d] >= 0 else 0
    in_title = itself if pool.text[c, TITLE_COUNT] > 0 else 0
    in_text = itself if pool.text[c, TITLE_COUNT] + pool.text[c, ABSTRACT_COUNT] > 0 else 0
    mine = 1 if pool.own[c] else 0
    df, texts, text_uses, titles, title_uses, language = 0, 0, 0.0, 0, 0.0, -1.0
    if p >= 0:
        df = _without(archive.df[p], pool.left_out[c], itself)
        texts = archive.text_counts[0, p] - in_text
        titles = archive.text_counts[2, p] - in_title
        # What stands in a twin's text is not known here: it takes with it what a carrier of the phrase does on average.
        twins = pool.left_out[c] - mine
        kept = df / max(df + twins, 1) if archive.df[p] <= FEW else 1.0
        text_uses = min(_without(archive.text_counts[1, p], in_text * mine, in_text) * kept, df)
        title_uses = min(_without(archive.text_counts[3, p], in_title * mine, in_title) * kept, df)
        language = min(_without(archive.language_counts[p, asked.columns[d]], mine, itself) / max(df, 1), 1.0)
    documents = max(archive.doc_offsets.size - 1 - itself, 1)
    row[DF] = np.log1p(df)
    row[TEXT_DF] = np.log1p(texts)
    row[KEYPHRASENESS] = np.log((text_uses + 0.2) / (texts + 2.0))
    row[TITLE_KEYPHRASENESS] = np.log((title_uses + 0.2) / (titles + 2.0))
    row[LANGUAGE_SHARE] = language
    row[LIFT] = np.log((pool.votes[c, 0, COUNT] / max(found, 1) + 1e-3) / (df / documents + 1e-3))


@njit(cache=True)
def _of_words(
    archive: ArchiveArrays,
    terms: TermArrays,
    asked: Asked,
    pool: Pool,
    c: int,
    d: int,
    in_text: np.ndarray,
    own_word: np.ndarray,
    row: np.ndarray,
) -> None:
    """How rare the words of the phrase are in texts, and how often they are chosen for keyphrases."""
    p = pool.phrase[c]
    documents = archive.doc_offsets.size - (1 if asked.own[d] >= 0 else 0)
    members = asked.left_offsets[d + 1] - asked.left_offsets[d]
    if p >= 0:
        form = archive.form_of[p, asked.columns[d]]
        start, stop = archive.form_offsets[form], archive.form_offsets[form + 1]
    else:
        start, stop = terms.word_offsets[pool.term[c]], terms.word_offsets[pool.term[c] + 1]
    row[IDF_MIN], row[CARRIED_MIN] = 99.0, 99.0
    for j in range(start, stop):
        w = archive.form_words[j] if p >= 0 else table_get(archive.word_keys, archive.word_values, terms.words[j])
        texts, carried = 0, 0
        if w >= 0:
            texts = archive.word_df[w] - (1 if in_text[w] == d else 0)
            carried = _without(archive.word_carried[w], members if own_word[w] == d else 0, min(members, 1))
        idf = np.log(documents / (max(texts, 1) + 0.5))
        odds = np.log((carried + 0.5) / (max(texts, 0) + 5.0))
        row[IDF_MEAN] += idf / (stop - start)
        row[IDF_MAX] = max(row[IDF_MAX], idf)
        row[IDF_MIN] = min(row[IDF_MIN], idf)
        row[CARRIED_MEAN] += odds / (stop - start)
        row[CARRIED_MIN] = min(row[CARRIED_MIN], odds)
