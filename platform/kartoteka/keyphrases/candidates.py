"""The candidates of documents, and the best of each: what a list is made of, and all that has to travel for it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kartoteka.keyphrases.calibration import document_of, top_candidates
from kartoteka.keyphrases.context import Wording
from kartoteka.keyphrases.cut import Size
from kartoteka.keyphrases.pool import Pool
from kartoteka.keyphrases.settings import KeyphraseSettings


@dataclass(frozen=True, slots=True)
class Candidates:
    """The candidates of n documents, their words, and their feature rows float32 [m, len(names)].

    `terms`: the documents' own terms as a person would write them, which `pool.term` numbers.
    """

    pool: Pool
    terms: list[str]
    named: Wording
    rows: np.ndarray
    names: list[str]


@dataclass(frozen=True, slots=True)
class Best:
    """The best candidates of n documents, each document's best first: rows `bounds[d]:bounds[d + 1]` of t.

    `phrase` int32 [t] archive phrase or -1, then the next of `terms`; `origin` uint8 [t]; `carriers` int64 [t, lists,
    e]; `score` float64 [t]; `references` float64 [n]: how many keyphrases a document is expected to have, None where a
    list does not end by that.
    """

    bounds: np.ndarray
    phrase: np.ndarray
    terms: list[str]
    origin: np.ndarray
    carriers: np.ndarray
    score: np.ndarray
    references: np.ndarray | None

    @staticmethod
    def of(
        found: Candidates, order: np.ndarray, score: np.ndarray, settings: KeyphraseSettings, size: Size | None = None
    ) -> Best:
        """As many as a list of `settings` can need, by `order` float64 [m], with their `score` float64 [m].

        `size`: how many keyphrases a document is expected to have, where the scores are probabilities.
        """
        pool = found.pool
        top = top_candidates(order, pool.offsets, 2 * settings.limit + 8 * settings.per_category)
        expected = None
        if settings.cut == "expected_f1" and size is not None:
            expected = size.references(order, score, pool.offsets)
        phrase, term = pool.phrase[top], pool.term[top]
        return Best(
            np.searchsorted(document_of(pool.offsets, top), np.arange(len(pool.offsets))),
            phrase,
            [found.terms[number] for number in term[phrase < 0].tolist()],
            pool.origin[top],
            pool.carriers[top],
            score[top],
            expected,
        )

    def slice(self, start: int, stop: int) -> Best:
        """Documents start..stop, or to the last."""
        stop = min(stop, len(self.bounds) - 1)
        a, b = self.bounds[start], self.bounds[stop]
        first, last = (int(np.count_nonzero(self.phrase[:row] < 0)) for row in (a, b))
        return Best(
            self.bounds[start : stop + 1] - a,
            self.phrase[a:b],
            self.terms[first:last],
            self.origin[a:b],
            self.carriers[a:b],
            self.score[a:b],
            None if self.references is None else self.references[start:stop],
        )
