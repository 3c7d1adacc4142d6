"""How pure clusters are in what a classifier says of their texts, and which of its labels are reliable for it.

A label is believed where the classifier is sure of the text and the texts around it are given the same one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, slots=True)
class Purity:
    """Of each of k clusters: `size` int64 texts; `dominant` int64, the class most of them are given (-1: no text).

    `hard` float64: the share of texts given that class; `soft` float64: its mean probability; NaN for no text.
    """

    size: np.ndarray
    dominant: np.ndarray
    hard: np.ndarray
    soft: np.ndarray


@dataclass(frozen=True, slots=True)
class Tally:
    """What purity is counted from, and can be added up: by cluster and class, [k, c].

    `counts` int64: texts given the class; `sums` float64: its probabilities, over all texts of the cluster.
    """

    counts: np.ndarray
    sums: np.ndarray

    @staticmethod
    def empty(k: int, classes: int) -> Tally:
        """Of no text."""
        return Tally(np.zeros((k, classes), np.int64), np.zeros((k, classes)))

    def __add__(self, other: Tally) -> Tally:
        return Tally(self.counts + other.counts, self.sums + other.sums)


def tally(clusters: np.ndarray, probabilities: np.ndarray, k: int) -> Tally:
    """The tally of some texts: their clusters, whole numbers [n] of `k`, and `probabilities` [n, c].

    Of equal probabilities the first counts. Raises `ValueError` as `purity` does.
    """
    clusters, probabilities = _checked(clusters, probabilities, k)
    classes = probabilities.shape[1]
    counts = np.bincount(clusters * classes + probabilities.argmax(axis=1), minlength=k * classes)
    sums = [np.bincount(clusters, column, minlength=k) for column in probabilities.T]
    return Tally(counts.reshape(k, classes), np.stack(sums, axis=1))


def purity_of(tally: Tally) -> Purity:
    """Purity of the clusters of a tally; of classes given equally often the first counts."""
    size, dominant = tally.counts.sum(axis=1), tally.counts.argmax(axis=1)
    soft = np.take_along_axis(tally.sums, dominant[:, None], axis=1)[:, 0]
    with np.errstate(invalid="ignore"):
        return Purity(size, np.where(size, dominant, -1), tally.counts.max(axis=1) / size, soft / size)


def purity(clusters: np.ndarray, probabilities: np.ndarray, k: int) -> Purity:
    """Purity of `k` clusters from the cluster of each text, whole numbers [n], and its `probabilities` [n, c].

    Of classes given equally often, and of equal probabilities, the first counts. Raises `ValueError`: lengths that
    differ, a cluster outside 0 .. k - 1, a probability outside [0, 1].
    """
    return purity_of(tally(clusters, probabilities, k))


def reliable(
    clusters: np.ndarray,
    probabilities: np.ndarray,
    purity: Purity,
    *,
    least_purity: float = 0.9,
    least_probability: float = 0.8,
    soft: bool = False,
) -> np.ndarray:
    """Which texts' own labels may be believed, bool [n].

    The label is the dominant one of the text's cluster, the cluster is pure enough (by `soft` or hard purity), and so
    is the label's own probability. Raises `ValueError` as `purity` does.
    """
    clusters, probabilities = _checked(clusters, probabilities, len(purity.size))
    pure = (purity.soft if soft else purity.hard) >= least_purity
    agrees = probabilities.argmax(axis=1) == purity.dominant[clusters]
    return agrees & pure[clusters] & (probabilities.max(axis=1) >= least_probability)


def pseudo_labels(gold: np.ndarray, probabilities: np.ndarray, believed: np.ndarray) -> np.ndarray:
    """The label to train with, int64 [n]: the `gold` one where there is one (>= 0), whatever the classifier says.

    Else the classifier's where it is `believed` (see `reliable`), else -1.
    """
    own = np.where(believed, probabilities.argmax(axis=1), -1)
    return np.where(gold >= 0, gold, own).astype(np.int64)


def passing(
    clusters: np.ndarray,
    probabilities: np.ndarray,
    purity: Purity,
    classes: Sequence[str],
    sources: Sequence[str],
    purities: Sequence[float],
    probabilities_at_least: Sequence[float],
) -> list[dict[str, Any]]:
    """How many texts each pair of thresholds lets through, by hard and by soft purity, for each class and source.

    `classes`: the names of the c classes; `sources`: the source of each text [n]. A row: `purity`, `probability` (the
    thresholds), `class`, `source`, `texts` given that class there, `hard` and `soft`: how many of them pass. Ordered by
    threshold, class and source (by name); no row for a class that no text of a source is given.
    """
    clusters, probabilities = _checked(clusters, probabilities, len(purity.size))
    if len(classes) != probabilities.shape[1] or len(sources) != len(clusters):
        raise ValueError(f"classes, sources: {len(classes)} and {len(sources)} for {probabilities.shape} probabilities")
    names, source = np.unique(np.asarray(sources, np.str_), return_inverse=True)
    group = probabilities.argmax(axis=1) * len(names) + source

    def counted(rows: np.ndarray) -> np.ndarray:
        return np.bincount(group[rows], minlength=len(classes) * len(names))

    texts = counted(np.ones(len(clusters), bool))
    table = []
    for pure in purities:
        for sure in probabilities_at_least:
            thresholds = {"least_purity": pure, "least_probability": sure}
            hard, soft = (
                counted(reliable(clusters, probabilities, purity, **thresholds, soft=way)) for way in (False, True)
            )
            table += [
                {
                    "purity": pure,
                    "probability": sure,
                    "class": classes[cell // len(names)],
                    "source": str(names[cell % len(names)]),
                    "texts": int(texts[cell]),
                    "hard": int(hard[cell]),
                    "soft": int(soft[cell]),
                }
                for cell in np.flatnonzero(texts)
            ]
    return table


def _checked(clusters: np.ndarray, probabilities: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    clusters = np.asarray(clusters).astype(np.int64)
    probabilities = np.asarray(probabilities, np.float64)
    if probabilities.ndim != 2 or len(probabilities) != len(clusters) or not probabilities.shape[1]:
        raise ValueError(f"probabilities: shape {probabilities.shape} is not [{len(clusters)} texts, classes]")
    outside = (clusters < 0) | (clusters >= k)
    if outside.any():
        raise ValueError(f"clusters: text {int(np.argmax(outside))} is in {clusters[outside][0]}, of {k} clusters")
    wrong = ~((probabilities >= 0) & (probabilities <= 1.0001)).all(axis=1)  # NaN is wrong; a rounded sum is not
    if wrong.any():
        raise ValueError(f"probabilities: of text {int(np.argmax(wrong))} not all are in [0, 1]")
    return clusters, probabilities
