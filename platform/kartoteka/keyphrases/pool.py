"""What is gathered about candidates: the columns of their pool, and the arrays that the kernels read and fill."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

#: Bits of `Pool.origin`.
NEIGHBOUR, VOCABULARY, EXTRACTED = 1, 2, 4
#: Neighbours remembered per candidate and list, best first.
EXPLAINED = 5
#: Columns of `Pool.text`: where the phrase stands. `free_count`: occurrences not inside a longer known phrase.
TEXT = (
    "title_count", "abstract_count", "free_count", "first", "last", "share", "title_share", "weighted_share",
    "term_rank", "term_count", "words", "text_words",
)  # fmt: skip
(
    TITLE_COUNT, ABSTRACT_COUNT, FREE_COUNT, FIRST, LAST, SHARE, TITLE_SHARE, WEIGHTED_SHARE, TERM_RANK, TERM_COUNT,
    WORDS, TEXT_WORDS,
) = range(len(TEXT))  # fmt: skip
#: Columns of `Pool.votes`, one block per list: shares of the summed scores, of their excess over the last one, the best
#: carrier's score and rank, reciprocal ranks, carriers in all and among the first 5, and shares of the summed scores
#: weighted by how many other phrases of the carrier stand in the text.
VOTES = ("sum", "excess", "best", "rank", "reciprocal", "count", "near", "supported")
SUM, EXCESS, BEST, RANK, RECIPROCAL, COUNT, NEAR, SUPPORTED = range(len(VOTES))


class TermArrays(NamedTuple):
    """Terms of the documents: rows `offsets[d]:offsets[d + 1]`, each with the word hashes of `word_offsets`."""

    offsets: np.ndarray
    words: np.ndarray
    word_offsets: np.ndarray
    counts: np.ndarray


class Asked(NamedTuple):
    """`numbers` int64 and `scores` float32 [n, lists, k] of the neighbours; language column and own number int64 [n].

    `left_out[left_offsets[d]:left_offsets[d + 1]]` int64: annotated documents of which document d is to know nothing,
    itself and, in training, its twins.
    """

    numbers: np.ndarray
    scores: np.ndarray
    columns: np.ndarray
    own: np.ndarray
    left_offsets: np.ndarray
    left_out: np.ndarray


class Pool(NamedTuple):
    """Candidates of n documents, document by document: rows `offsets[d]:offsets[d + 1]`.

    `phrase` int32 archive phrase or -1; `term` int32 row of the terms or -1; `origin` uint8 bits; `own` bool: the
    document itself carries it, which is what training learns; `left_out` int32: how many of the phrase's carriers the
    document is to know nothing of; `text` float32 [m, len(TEXT)]; `votes` float32 [m, lists,
    len(VOTES)]; `carriers` int64 [m, lists, EXPLAINED] annotated documents, best first, -1 padded.
    """

    offsets: np.ndarray
    phrase: np.ndarray
    term: np.ndarray
    origin: np.ndarray
    own: np.ndarray
    left_out: np.ndarray
    text: np.ndarray
    votes: np.ndarray
    carriers: np.ndarray
