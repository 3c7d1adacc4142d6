"""The nearest annotated documents, by words and by meaning, under one numbering: that of the annotated documents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from kartoteka.allowed import Allowed
from kartoteka.keyphrases.fusion import fuse
from kartoteka.keyphrases.settings import KeyphraseSettings
from kartoteka.keyphrases.sources import Neighbours


class Lexical(Protocol):
    """What is asked of the lexical index over the annotated documents."""

    def search(
        self, queries: Sequence[Sequence[str]], k: int, exclude: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """The k best of lists of stems: numbers int64 and scores float32 [q, k], -1 and 0 where there are no more."""


class Dense(Protocol):
    """What is asked of the vector index; its numbers may be those of a larger collection."""

    def search(
        self, queries: np.ndarray, k: int, exclude: np.ndarray | None = None, allowed: Allowed | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """The k nearest of float32 [q, d]: numbers int64 and scores float32 [q, k], -1 and 0 where none is left."""


@dataclass(frozen=True)
class AnnotatedVectors:
    """The annotated documents of a vector index: `annotated` has their numbers in it (None: all of it)."""

    index: Dense
    annotated: Allowed | None = None

    def search(self, queries: np.ndarray, k: int, exclude: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """As the index, numbers and `exclude` (-1: none) being those of the annotated documents."""
        if self.annotated is None:
            return self.index.search(queries, k, exclude)
        numbers = self.annotated.numbers
        own = np.where(exclude >= 0, numbers[np.maximum(exclude, 0)], -1)
        found, scores = self.index.search(queries, k, own, self.annotated)
        return np.where(found >= 0, np.searchsorted(numbers, found), -1), scores


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Annotated documents of which each of n documents is to know nothing: `numbers[offsets[d]:offsets[d + 1]]`."""

    offsets: np.ndarray
    numbers: np.ndarray

    @staticmethod
    def itself(own: np.ndarray) -> LeftOut:
        """Each document alone; `own` int64 [n], -1 for one that is not annotated."""
        return LeftOut(np.concatenate([[0], np.cumsum(own >= 0)]), own[own >= 0])


def find_neighbours(
    lexical: Lexical,
    dense: AnnotatedVectors | None,
    queries: Sequence[Sequence[str]],
    vectors: np.ndarray | None,
    own: np.ndarray,
    left_out: LeftOut,
    settings: KeyphraseSettings,
    trained: AnnotatedVectors | None = None,
    trained_vectors: np.ndarray | None = None,
) -> list[Neighbours]:
    """One list of neighbours per way of asking, or one of all ways `fused`; no left-out document is a neighbour.

    `queries` are content stems of title and abstract, `vectors` float32 [n, d] unit vectors, `own` int64 [n] numbers,
    -1 for none; `trained` and `trained_vectors` float32 [n, e] the same of a trained ranker, whose list comes last.
    With `both` the lists stay apart: the ranker weighs them by what each has proved to be worth.
    """
    # One document is left out by the index itself; room for the others is asked for and taken back.
    wide = settings.neighbours + int(np.diff(left_out.offsets).max(initial=1)) - 1 if left_out.numbers.size else 0
    k = max(settings.neighbours, wide)
    lists = []
    if settings.retrieval != "vectors" or dense is None or vectors is None:
        lists.append(Neighbours(*lexical.search(queries, k, own)))
    if settings.retrieval != "lexical" and dense is not None and vectors is not None:
        lists.append(Neighbours(*dense.search(np.asarray(vectors, np.float32), k, own)))
    if trained is not None and trained_vectors is not None:
        lists.append(Neighbours(*trained.search(np.asarray(trained_vectors, np.float32), k, own)))
    lists = [_without(found, left_out, settings.neighbours) for found in lists]
    return [fuse(lists, settings.neighbours)] if settings.retrieval == "fused" else lists


def _without(found: Neighbours, left_out: LeftOut, k: int) -> Neighbours:
    """The first k neighbours of each document that are not left out."""
    numbers, scores = found.numbers, found.scores
    for d in np.flatnonzero(np.diff(left_out.offsets) > 1):
        gone = np.isin(numbers[d], left_out.numbers[left_out.offsets[d] : left_out.offsets[d + 1]])
        order = np.argsort(gone, kind="stable")
        numbers[d], scores[d] = np.where(gone, -1, numbers[d])[order], np.where(gone, 0, scores[d])[order]
    return Neighbours(np.ascontiguousarray(numbers[:, :k]), np.ascontiguousarray(scores[:, :k]))
