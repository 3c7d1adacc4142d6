"""Candidates of one document beside each other: which stand inside which, and what better ones have said already.

Few assign both `networks` and `recurrent neural networks`; which of the two depends on how good the other is.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from kartoteka.keyphrases.archive import ArchiveArrays
from kartoteka.keyphrases.hashing import table_get
from kartoteka.keyphrases.pool import Pool, TermArrays

#: Columns of `context`: the candidate's own log-odds; the best of those whose words include all of its words and more;
#: of those all of whose words it includes; of those of the same words; of those that share some; and the share of its
#: words that no better candidate has.
CONTEXT = ("log_odds", "inside", "around", "same_words", "some_words", "new_words")
LOG_ODDS, INSIDE, AROUND, SAME_WORDS, SOME_WORDS, NEW_WORDS = range(len(CONTEXT))
#: Where there is no such candidate: below every log-odds.
MISSING = -30.0


class Wording(NamedTuple):
    """Distinct words of m candidates, `words[offsets[c]:offsets[c + 1]]`, both int64.

    Numbers of words of the archive; others are negative, equal words having equal numbers.
    """

    offsets: np.ndarray
    words: np.ndarray


@njit(cache=True)
def wording(archive: ArchiveArrays, terms: TermArrays, pool: Pool, columns: np.ndarray) -> Wording:
    """The words of all candidates; `columns` int64 [n]: language column of each document."""
    size, found = 0, 0
    for d in range(pool.offsets.size - 1):
        for c in range(pool.offsets[d], pool.offsets[d + 1]):
            if pool.phrase[c] >= 0:
                form = archive.form_of[pool.phrase[c], columns[d]]
                size += archive.form_offsets[form + 1] - archive.form_offsets[form]
            else:
                size += terms.word_offsets[pool.term[c] + 1] - terms.word_offsets[pool.term[c]]
    offsets, words = np.zeros(pool.phrase.size + 1, np.int64), np.empty(size, np.int64)
    for d in range(pool.offsets.size - 1):
        for c in range(pool.offsets[d], pool.offsets[d + 1]):
            first = found
            if pool.phrase[c] >= 0:
                form = archive.form_of[pool.phrase[c], columns[d]]
                for j in range(archive.form_offsets[form], archive.form_offsets[form + 1]):
                    found = _add(words, first, found, np.int64(archive.form_words[j]))
            else:
                for j in range(terms.word_offsets[pool.term[c]], terms.word_offsets[pool.term[c] + 1]):
                    word = np.int64(table_get(archive.word_keys, archive.word_values, terms.words[j]))
                    if word < 0:
                        word = -2 - np.int64(terms.words[j] >> np.uint64(2))
                    found = _add(words, first, found, word)
            offsets[c + 1] = found
    return Wording(offsets, words[:found].copy())


@njit(cache=True)
def _add(words: np.ndarray, first: int, found: int, word: int) -> int:
    for i in range(first, found):
        if words[i] == word:
            return found
    words[found] = word
    return found + 1


@njit(cache=True)
def context(order: np.ndarray, top: np.ndarray, bounds: np.ndarray, named: Wording) -> np.ndarray:
    """float32 [t, len(CONTEXT)] of the candidates `top` int64 [t], each document's best first, beside each other.

    `order` float64 [m]: log-odds of all candidates; `bounds` int64 [n + 1]: where each document's begin in `top`.
    """
    out = np.full((top.size, len(CONTEXT)), MISSING, np.float32)
    for d in range(bounds.size - 1):
        for i in range(bounds[d], bounds[d + 1]):
            row, size = out[i], named.offsets[top[i] + 1] - named.offsets[top[i]]
            row[LOG_ODDS] = order[top[i]]
            said = np.zeros(size, np.bool_)
            for j in range(bounds[d], bounds[d + 1]):
                if i == j:
                    continue
                other = named.offsets[top[j] + 1] - named.offsets[top[j]]
                both = 0
                for a in range(size):
                    for b in range(named.offsets[top[j]], named.offsets[top[j] + 1]):
                        if named.words[named.offsets[top[i]] + a] == named.words[b]:
                            both += 1
                            said[a] |= j < i
                if both == 0:
                    continue
                if both == size:
                    column = SAME_WORDS if both == other else INSIDE
                else:
                    column = AROUND if both == other else SOME_WORDS
                row[column] = max(row[column], order[top[j]])
            row[NEW_WORDS] = 1.0 - said.sum() / max(size, 1)
    return out
