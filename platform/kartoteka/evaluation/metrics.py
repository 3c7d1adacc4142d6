"""Keyphrase metrics of one document, and how documents become one number.

A metric gives three numbers per document, precision, recall and F1 at a cut-off (5, 10, M: all predictions, O: as many
as there are references (Yuan et al. 2020), G: the larger of the two (KPEval)); a `Sample` keeps what summing over
documents needs, so that a bootstrap resample is a weighted sum.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from kartoteka.evaluation.conventions import Convention
from kartoteka.evaluation.matching import CLASSES, Source, normalise_words

_OF_GROUP: dict[str, frozenset[str]] = {
    "all": frozenset(CLASSES),
    "absent": frozenset(CLASSES[1:]),
    **{name: frozenset({name}) for name in CLASSES},
}


@dataclass(frozen=True, slots=True)
class Metric:
    """What is measured: `measure` of the phrases of `group` at cut-off `at`."""

    name: str
    group: Literal["all", "absent", "present", "reordered", "mixed", "unseen"]
    at: int | Literal["M", "O", "G"]
    measure: Literal["f1", "precision", "recall"]


METRICS = (
    Metric("F1@5", "all", 5, "f1"),
    Metric("F1@10", "all", 10, "f1"),
    Metric("F1@M", "all", "M", "f1"),
    Metric("F1@O", "all", "O", "f1"),
    Metric("present F1@O", "present", "O", "f1"),
    Metric("reordered R@O", "reordered", "O", "recall"),
    Metric("mixed R@O", "mixed", "O", "recall"),
    Metric("unseen R@O", "unseen", "O", "recall"),
)
#: What the present/absent literature prints besides.
PRESENT_ABSENT = (
    Metric("present F1@5", "present", 5, "f1"),
    Metric("present F1@10", "present", 10, "f1"),
    Metric("present F1@M", "present", "M", "f1"),
    Metric("present F1@G", "present", "G", "f1"),
    Metric("absent F1@5", "absent", 5, "f1"),
    Metric("absent F1@M", "absent", "M", "f1"),
    Metric("absent R@10", "absent", 10, "recall"),
    Metric("absent R@50", "absent", 50, "recall"),
)


def metrics_of(convention: Convention) -> tuple[Metric, ...]:
    """The metrics a convention reports."""
    return METRICS + PRESENT_ABSENT if convention.present_absent else METRICS


@dataclass(frozen=True, slots=True)
class Phrases:
    """Phrases of one document after normalisation and filtering, in order.

    `keys` are the normalised words joined by spaces, `classes` their PRMU classes, `kept` the positions they had in the
    list that was given.
    """

    keys: list[str]
    classes: list[str]
    kept: list[int]


def phrases_of(
    given: Sequence[str], source: Source, lang: str, convention: Convention, *, reference: bool, digits: bool = False
) -> Phrases:
    """Normalise, filter and classify phrases; equal ones become the first (references: if the convention says so)."""
    unique = not reference or convention.references == "unique"
    result, seen = Phrases([], [], []), set()
    for position, phrase in enumerate(given):
        words = normalise_words(phrase, lang, convention.matching, digits)
        key = " ".join(words)
        if not words or (unique and key in seen) or not _counts(words, convention, reference):
            continue
        seen.add(key)
        result.keys.append(key)
        result.classes.append(source.category(words))
        result.kept.append(position)
    return result


def _counts(words: list[str], convention: Convention, reference: bool) -> bool:
    if convention.phrases == "words":
        return any(character.isalnum() for word in words for character in word)
    return convention.phrases == "any" or reference or not ("," in words or "." in words)


@dataclass(frozen=True, slots=True)
class Counts:
    """Of one document and one metric: matches among the cut predictions, the denominators of P and R, references."""

    matches: int
    predicted: int
    wanted: int
    references: int

    @property
    def precision(self) -> float:
        """Share of the (padded) predictions that match; 0 where there is none."""
        return self.matches / self.predicted if self.predicted else 0.0

    @property
    def recall(self) -> float:
        """Share of the references found; 0 where there is none."""
        return self.matches / self.wanted if self.wanted else 0.0

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall; 0 where both are."""
        total = self.precision + self.recall
        return 2 * self.precision * self.recall / total if total else 0.0


def count(metric: Metric, predictions: Phrases, references: Phrases, convention: Convention) -> Counts:
    """Count one document for one metric."""
    group = _OF_GROUP[metric.group]
    wanted = [key for key, name in zip(references.keys, references.classes, strict=True) if name in group]
    num_references = len(wanted)
    num_all = len(references.keys)
    ranked = list(zip(predictions.keys, predictions.classes, strict=True))
    if convention.split == "split-cut":
        ranked = [phrase for phrase in ranked if phrase[1] in group]
    num_oracle = num_all if convention.split == "cut-split" else num_references
    cut = {"M": len(ranked), "O": num_oracle, "G": max(num_oracle, len(ranked))}.get(metric.at, metric.at)
    taken = ranked[:cut]
    if convention.split == "cut-split":
        taken = [phrase for phrase in taken if phrase[1] in group]
        # What is cut here is the whole list: a class has no length of its own to be padded to, except for numbers.
        cut = cut if isinstance(metric.at, int) else len(taken)
    targets = set(wanted)
    matches = sum(key in targets for key, _ in taken)
    predicted = len(taken) if convention.precision == "flexible" else cut
    recall_of = min(cut, num_references) if convention.recall == "choi" else num_references
    return Counts(matches, predicted, recall_of, num_references)


@dataclass(frozen=True, slots=True)
class Sample:
    """Per-document values of a metric, in `columns` [documents, 2 or 3], and how their sums become the number.

    With two columns the number is the ratio of their sums; with three, P = s0 / s2 and R = s1 / s2 make an F1.
    """

    name: str
    columns: np.ndarray

    def estimate(self, sums: np.ndarray) -> np.ndarray:
        """The metric of each row of column sums [..., columns]; NaN where no document counts."""
        with np.errstate(divide="ignore", invalid="ignore"):
            if self.columns.shape[1] == 2:
                return sums[..., 0] / sums[..., 1]
            total = sums[..., 0] + sums[..., 1]
            f1 = 2 * sums[..., 0] * sums[..., 1] / (total * sums[..., 2])
            return np.where((total == 0) & (sums[..., 2] > 0), 0.0, f1)

    @property
    def value(self) -> float:
        """The metric over all documents."""
        return float(self.estimate(self.columns.sum(axis=0)))

    @property
    def documents(self) -> int:
        """How many documents count."""
        return int(np.count_nonzero(self.columns[:, -1]))

    def of(self, rows: np.ndarray) -> Sample:
        """The same over the documents that `rows` (a mask or numbers) selects."""
        return Sample(self.name, self.columns[rows])


def sample(metric: Metric, counts: np.ndarray, convention: Convention) -> Sample:
    """Average documents as the convention says.

    `counts` [documents, 4] holds the fields of `Counts` in order; returns the metric's own measure.
    """
    matches, predicted, wanted, references = np.asarray(counts, dtype=np.float64).reshape(-1, 4).T
    counted = np.ones_like(matches) if convention.empty == "zero" else (references > 0).astype(np.float64)
    if convention.average == "micro":
        top, bottom = {
            "f1": (2 * matches, predicted + wanted),
            "precision": (matches, predicted),
            "recall": (matches, wanted),
        }[metric.measure]
        return Sample(metric.name, np.stack([top * counted, bottom * counted], axis=1))
    precision = np.divide(matches, predicted, out=np.zeros_like(matches), where=predicted > 0) * counted
    recall = np.divide(matches, wanted, out=np.zeros_like(matches), where=wanted > 0) * counted
    if metric.measure == "f1" and convention.average == "harmonic":
        return Sample(metric.name, np.stack([precision, recall, counted], axis=1))
    total = precision + recall
    f1 = np.divide(2 * precision * recall, total, out=np.zeros_like(total), where=total > 0)
    values = {"f1": f1, "precision": precision, "recall": recall}[metric.measure]
    return Sample(metric.name, np.stack([values, counted], axis=1))
