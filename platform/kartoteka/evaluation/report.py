"""An evaluation as tables of text, every number with the convention it was computed under."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from kartoteka.evaluation.calibration import Calibration
from kartoteka.evaluation.keyphrases import Evaluation, System
from kartoteka.evaluation.matching import CLASSES
from kartoteka.evaluation.metrics import Sample
from kartoteka.evaluation.significance import compare

#: How the papers' tables mark a difference, and at which level.
_MARK, _ALPHA = "†", 0.05


@dataclass(frozen=True, slots=True)
class Table:
    """A titled table of strings; the first column is a name, the rest are numbers."""

    title: str
    header: list[str]
    rows: list[list[str]]


def notes(evaluation: Evaluation) -> Iterator[str]:
    """What was compared, one line each: documents, classes of the references, what was missing or left out."""
    e = evaluation
    shares = ", ".join(f"{100 * e.classes[name]:.1f} % {name}" for name in CLASSES)
    yield f"convention {e.convention.describe()}"
    yield f"{len(e.ids):,} documents, {e.references:,} references ({shares}; mean over documents)"
    if e.unannotated:
        yield f"{e.unannotated:,} gold documents have no reference and are left out"
    if e.keywords_left:
        yield f"{e.keywords_left:,} abstracts still hold a list of keywords: present scores are too high there"
    for system in e.systems:
        yield (
            f"{system.name}: {system.phrases:,} phrases; {system.duplicates:,} dropped (equal after normalisation, or "
            f"nothing to compare); {system.missing:,} documents without a prediction and {system.empty:,} with an "
            f"empty one, both counted as empty; {system.unknown:,} predicted ids are not in the gold file"
        )
        if system.scored and system.calibration is None:
            yield f"{system.name}: the scores are not probabilities, so there is no calibration"
        if system.unordered:
            yield (
                f"{system.name}: {system.unordered:,} documents list a phrase before one with a higher score; "
                "the order of the file is the rank"
            )
    if e.bertscore:
        yield f"BERTScore: {e.bertscore}"


def metric_table(evaluation: Evaluation) -> Table:
    """Every metric of every system with its bootstrap interval."""
    rows = [
        [
            i.name,
            percent(i.value),
            percent_range(i.low, i.high),
            f"{i.documents:,}",
            evaluation.convention.name,
            system.name,
        ]
        for system in evaluation.systems
        for i in system.intervals
    ]
    title = f"Metrics, %, 95 % intervals from {evaluation.resamples:,} bootstrap resamples (seed {evaluation.seed})"
    return Table(title, ["metric", "value", "95 % interval", "documents", "convention", "predictions"], rows)


def comparison_table(evaluation: Evaluation) -> Table:
    """The second system against the first: differences, intervals, p-values."""
    first, second = evaluation.systems
    rows = [
        [
            a.name,
            percent(a.value),
            percent(b.value),
            f"{100 * c.difference:+.1f}",
            percent_range(c.low, c.high),
            p_value(c.p),
            p_value(c.p_holm),
            evaluation.convention.name,
        ]
        for a, b, c in zip(first.intervals, second.intervals, evaluation.comparison, strict=True)
    ]
    title = f"{second.name} against {first.name}: paired by document, approximate randomisation, Holm over the metrics"
    header = ["metric", "first", "second", "difference", "95 % interval", "p", "p (Holm)", "convention"]
    return Table(title, header, rows)


def calibration_table(system: System) -> Table:
    """Reliability by equal-mass bins; both expected calibration errors and the Brier score in the title."""
    assert system.calibration is not None
    title, rows = calibration_rows(system.name, system.calibration, "phrases")
    return Table(title, ["score", "phrases", "mean score", "share right"], rows)


def calibration_rows(name: str, c: Calibration, what: str) -> tuple[str, list[list[str]]]:
    """A title, and score, count, mean score and share right of each equal-mass bin; `what` is counted."""
    title = (
        f"Calibration of {name}: ECE {c.ece_equal_mass:.4f} ({c.bins} equal-mass bins), {c.ece_equal_width:.4f} "
        f"({c.bins} equal-width bins), Brier {c.brier:.4f}, {c.count:,} {what}"
    )
    rows = [
        [f"{b.low:.3f} to {b.high:.3f}", f"{b.count:,}", f"{b.score:.3f}", f"{b.accuracy:.3f}"] for b in c.equal_mass
    ]
    return title, rows


def paper_tables(evaluation: Evaluation) -> Iterator[Table]:
    """The two shapes that papers print, in %: by PRMU class, and at the usual cut-offs; a row per collection."""
    text = [s.name for s in evaluation.systems[0].samples if "@" in s.name and s.name.startswith(("ROUGE", "BERT"))]
    name = evaluation.convention.name
    by_class = ["present F1@O", "reordered R@O", "mixed R@O", "unseen R@O"]
    heads = ["P F1@O", "R R@O", "M R@O", "U R@O"]
    yield _paper_table(evaluation, f"By class, % (convention {name})", by_class, heads)
    cuts = ["F1@5", "F1@10", "F1@M", "F1@O", *text]
    yield _paper_table(evaluation, f"At cut-offs, % (convention {name})", cuts, cuts)


def _paper_table(evaluation: Evaluation, title: str, metrics: list[str], heads: list[str]) -> Table:
    if len(evaluation.systems) > 1:
        title += (
            f"; {_MARK}: differs from {evaluation.systems[0].name}, p < {_ALPHA} (randomisation, Holm over the row)"
        )
    collections = np.array(evaluation.collections, dtype=object)
    names = sorted(set(evaluation.collections))
    groups = [(n or "(none)", collections == n) for n in names] if len(names) > 1 else []
    groups.append(("all" if len(names) > 1 else names[0] or "all", np.ones(len(collections), dtype=bool)))
    rows = []
    for label, mask in groups:
        first = [_named(evaluation.systems[0], metric).of(mask) for metric in metrics]
        for system in evaluation.systems:
            shown = [_named(system, metric).of(mask) for metric in metrics]
            marks = [""] * len(shown)
            if system is not evaluation.systems[0]:
                tested = compare(first, shown, resamples=evaluation.resamples, seed=evaluation.seed)
                marks = [_MARK if c.p_holm < _ALPHA else "" for c in tested]
            values = [percent(s.value) + mark for s, mark in zip(shown, marks, strict=True)]
            rows.append([label, f"{int(mask.sum()):,}", *values, system.name])
    return Table(title, ["collection", "documents", *heads, "predictions"], rows)


def _named(system: System, metric: str) -> Sample:
    return next(s for s in system.samples if s.name == metric)


def percent(value: float) -> str:
    """`12.3` of 0.123; a dash for NaN."""
    return "-" if np.isnan(value) else f"{100 * value:.1f}"


def percent_range(low: float, high: float) -> str:
    """`12.3 to 45.6` of an interval; a dash for NaN."""
    return "-" if np.isnan(low) else f"{100 * low:.1f} to {100 * high:.1f}"


def p_value(p: float) -> str:
    """Four places, or a power of ten where they say nothing."""
    return f"{p:.4f}" if p >= 0.0001 else f"{p:.1e}"
