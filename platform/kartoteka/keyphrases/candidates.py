"""Candidates of documents as they travel: parts put together for a fit, the best of each picked for its list."""

from __future__ import annotations

from collections.abc import Sequence
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

    @staticmethod
    def concatenate(parts: Sequence[Candidates]) -> Candidates:
        """The documents of all `parts`, at least one, in order: as if they had been asked for together."""
        first, *others = parts
        if not others:
            return first
        assert all(part.names == first.names for part in others)
        pools = [part.pool for part in parts]
        columns = {
            name: np.concatenate([getattr(pool, name) for pool in pools])
            for name in Pool._fields
            if name not in ("offsets", "term")
        }
        before, terms = 0, []
        for part in parts:
            terms.append(np.where(part.pool.term >= 0, part.pool.term + before, -1).astype(np.int32))
            before += len(part.terms)
        pool = Pool(offsets=_joined([p.offsets for p in pools]), term=np.concatenate(terms), **columns)
        return Candidates(
            pool,
            [term for part in parts for term in part.terms],
            Wording(_joined([p.named.offsets for p in parts]), np.concatenate([p.named.words for p in parts])),
            np.concatenate([part.rows for part in parts]),
            first.names,
        )


def _joined(offsets: Sequence[np.ndarray]) -> np.ndarray:
    """Offsets [n_i + 1] of several parts as those of all."""
    return np.concatenate([[0], np.cumsum(np.concatenate([np.diff(some) for some in offsets]))]).astype(np.int64)


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
        """Documents start..stop."""
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
