"""A classifier's labels against gold ones: macro-F1 with an interval, classes, sources, calibration, errors.

All figures follow from the confusion matrix, whose cells are columns of a `Sample`: so that intervals and tests are
those of `significance`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from kartoteka.evaluation.calibration import Calibration, calibrate
from kartoteka.evaluation.confusion import (
    accuracy,
    confusion,
    f1_by_class,
    macro_f1,
    precision_by_class,
    recall_by_class,
)
from kartoteka.evaluation.metrics import Sample
from kartoteka.evaluation.significance import Comparison, Interval, bootstrap, compare


@dataclass(frozen=True)
class GoldTexts:
    """n texts with their class, a number of `classes`; `texts` and `sources` may be empty strings."""

    classes: tuple[str, ...]
    ids: list[str]
    texts: list[str]
    sources: list[str]
    labels: np.ndarray


@dataclass(frozen=True)
class Labels:
    """What a system says of the gold texts, in their order: `labels` int64 [n], `probabilities` float64 [n, c]."""

    name: str
    labels: np.ndarray
    probabilities: np.ndarray | None


@dataclass(frozen=True, slots=True)
class MacroF1(Sample):
    """Macro-F1 as a `Sample`: `columns` [n, c * c] say in which cell of the confusion matrix a text is."""

    def estimate(self, sums: np.ndarray) -> np.ndarray:
        """Macro-F1 of confusion matrices [..., c * c]."""
        size = round(self.columns.shape[1] ** 0.5)
        return macro_f1(sums.reshape(*sums.shape[:-1], size, size))

    @property
    def documents(self) -> int:
        """All texts count."""
        return len(self.columns)


@dataclass(frozen=True, slots=True)
class Error:
    """A text given the wrong label; `margin` is its probability less that of the gold class."""

    id: str
    text: str
    source: str
    gold: str
    given: str
    probability: float
    margin: float


@dataclass(frozen=True)
class Classified:
    """One system's figures. `matrix` int64 [c, c]: gold class by given one. `by_source`: texts, macro-F1, accuracy."""

    name: str
    matrix: np.ndarray
    intervals: list[Interval]
    by_class: list[dict[str, Any]]
    by_source: dict[str, tuple[int, float, float]]
    calibration: Calibration | None
    errors: list[Error]


@dataclass(frozen=True, slots=True)
class McNemar:
    """Texts that only the first or only the second of two systems labels rightly, and the two-sided exact p."""

    only_first: int
    only_second: int
    p: float


@dataclass(frozen=True)
class Evaluation:
    """One or two systems on the same gold texts; of two, the second is compared with the first."""

    classes: tuple[str, ...]
    texts: int
    systems: list[Classified]
    mcnemar: McNemar | None
    comparison: list[Comparison]
    resamples: int
    seed: int

    def as_dict(self) -> dict[str, Any]:
        """Everything as plain values."""
        values = asdict(self)
        for system in values["systems"]:
            system["matrix"] = system["matrix"].tolist()
        return values


def evaluate(
    gold: GoldTexts,
    systems: Sequence[Labels],
    *,
    resamples: int = 10_000,
    seed: int = 0,
    bins: int = 15,
    errors: int = 20,
) -> Evaluation:
    """Measure one system, or two and their difference. `errors`: how many of those nearest to the border are kept."""
    assert 1 <= len(systems) <= 2, "one system, or two to compare"
    measured = [_measure(gold, system, resamples, seed, bins, errors) for system in systems]
    test, difference = None, []
    if len(systems) == 2:
        right = [system.labels == gold.labels for system in systems]
        test = mcnemar(*right)
        difference = compare(
            samples(gold, systems[0].labels), samples(gold, systems[1].labels), resamples=resamples, seed=seed
        )
    return Evaluation(gold.classes, len(gold.ids), measured, test, difference, resamples, seed)


def samples(gold: GoldTexts, labels: np.ndarray) -> list[Sample]:
    """Macro-F1 and accuracy of `labels` [n] as what can be resampled."""
    size = len(gold.classes)
    cells = np.eye(size * size)[gold.labels * size + labels]
    right = (labels == gold.labels).astype(np.float64)
    return [MacroF1("macro-F1", cells), Sample("accuracy", np.stack([right, np.ones(len(right))], axis=1))]


def mcnemar(first: np.ndarray, second: np.ndarray) -> McNemar:
    """McNemar's exact test from what each of two systems labels rightly, bool [n]: binomial where they differ."""
    from scipy.stats import binomtest

    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    parted = only_first + only_second
    return McNemar(only_first, only_second, float(binomtest(only_first, parted).pvalue) if parted else 1.0)


def _measure(gold: GoldTexts, system: Labels, resamples: int, seed: int, bins: int, errors: int) -> Classified:
    matrix = confusion(gold.labels, system.labels, len(gold.classes))
    figures = (precision_by_class(matrix), recall_by_class(matrix), f1_by_class(matrix))
    by_class = [
        {"class": name, "precision": float(p), "recall": float(r), "f1": float(f), "texts": int(count)}
        for name, p, r, f, count in zip(gold.classes, *figures, matrix.sum(axis=1), strict=True)
    ]
    calibration = None
    if system.probabilities is not None:
        given = system.probabilities[np.arange(len(system.labels)), system.labels]
        calibration = calibrate(given, system.labels == gold.labels, bins)
    return Classified(
        system.name,
        matrix,
        bootstrap(samples(gold, system.labels), resamples=resamples, seed=seed),
        by_class,
        _by_source(gold, system.labels),
        calibration,
        _errors(gold, system, errors),
    )


def _by_source(gold: GoldTexts, labels: np.ndarray) -> dict[str, tuple[int, float, float]]:
    found, sources = {}, np.array(gold.sources, np.str_)
    for name in np.unique(sources).tolist():
        rows = sources == name
        matrix = confusion(gold.labels[rows], labels[rows], len(gold.classes))
        found[name] = (int(rows.sum()), float(macro_f1(matrix)), float(accuracy(matrix)))
    return found


def _errors(gold: GoldTexts, system: Labels, most: int) -> list[Error]:
    """The wrong labels that were nearly right, nearest first; none where probabilities are not known."""
    if system.probabilities is None:
        return []
    wrong = np.flatnonzero(system.labels != gold.labels)
    given = system.probabilities[wrong, system.labels[wrong]]
    margin = given - system.probabilities[wrong, gold.labels[wrong]]
    order = np.argsort(margin, kind="stable")[:most]
    return [
        Error(
            gold.ids[row], gold.texts[row], gold.sources[row], gold.classes[gold.labels[row]],
            gold.classes[system.labels[row]], float(p), float(m),
        )
        for row, p, m in zip(wrong[order].tolist(), given[order], margin[order], strict=True)
    ]  # fmt: skip
