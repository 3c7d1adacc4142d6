"""A second look at the best candidates of each document: more trees, over the same features and `context`.

The first trees learn mostly from candidates that are plainly wrong; these only from those that passed the first, and
know how good the others of the document are. Stacked generalisation (Wolpert 1992): they learn from log-odds of trees
that had not seen the document. The trees of all folds are kept and their mean is taken: it is better than trees fitted
on all documents once more (Breiman 1996, bagging), and cheaper to come by.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from kartoteka.keyphrases.boosting import Trees, fit_each, mean_of, raw_scores
from kartoteka.keyphrases.calibration import top_candidates
from kartoteka.keyphrases.context import Wording, context
from kartoteka.keyphrases.settings import KeyphraseSettings


class SecondLook(NamedTuple):
    """Trees over the features and `CONTEXT`, for the best `candidates` of each document."""

    trees: Trees
    candidates: int

    def order(self, rows: np.ndarray, first: np.ndarray, offsets: np.ndarray, named: Wording) -> np.ndarray:
        """`first` float64 [m] with new log-odds for the best candidates; the others keep theirs."""
        top, beside = look(rows, first, offsets, named, self.candidates)
        order = first.copy()
        order[top] = raw_scores(self.trees, beside)
        return order


def look(
    rows: np.ndarray, first: np.ndarray, offsets: np.ndarray, named: Wording, candidates: int
) -> tuple[np.ndarray, np.ndarray]:
    """Rows int64 [t] of the best `candidates` of each document by `first`, and their features beside `CONTEXT`."""
    top = top_candidates(first, offsets, candidates)
    bounds = np.concatenate([[0], np.cumsum(np.minimum(np.diff(offsets), candidates))])
    return top, np.concatenate([rows[top], context(first, top, bounds, named)], axis=1)


def fit_second(
    rows: np.ndarray,
    labels: np.ndarray,
    offsets: np.ndarray,
    first: np.ndarray,
    fold: np.ndarray,
    named: Wording,
    settings: KeyphraseSettings,
    threads: int = 1,
) -> tuple[SecondLook | None, np.ndarray]:
    """The second look, and log-odds float64 [m] by trees that had not seen the document.

    `first` float64 [m]: held-out log-odds of the first trees; `fold` int64 [m]: the fold of each candidate's document.
    None, and `first` itself, where the best candidates of some fold's complement are all right or all wrong.
    """
    top, beside = look(rows, first, offsets, named, settings.second_look)
    right, fold = labels[top], fold[top]
    inside = [fold != i for i in range(settings.folds)]
    found = fit_each(beside, right, inside, 1.0, settings, threads)
    if found is None:
        return None, first
    held_out = first.copy()
    for trees, some in zip(found, inside, strict=True):
        held_out[top[~some]] = raw_scores(trees, beside[~some])
    return SecondLook(mean_of(found), settings.second_look), held_out
