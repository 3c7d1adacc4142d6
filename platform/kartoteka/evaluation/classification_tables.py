"""An evaluation of labels as tables of text; figures in percent."""

from __future__ import annotations

from collections.abc import Iterator

from kartoteka.evaluation.classification import Classified, Evaluation
from kartoteka.evaluation.report import Table, calibration_rows, p_value, percent, percent_range
from kartoteka.evaluation.space import Separation


def tables(result: Evaluation, spaces: dict[str, Separation]) -> Iterator[Table]:
    """All of it; `spaces`: the separation of the classes in each model's vectors, by its name."""
    yield metric_table(result)
    if result.mcnemar is not None:
        yield comparison_table(result)
    for system in result.systems:
        yield class_table(system)
        yield matrix_table(result, system)
        yield source_table(system)
        if system.calibration is not None:
            yield calibration_table(system)
            yield error_table(system)
    if spaces:
        yield space_table(spaces)


def metric_table(result: Evaluation) -> Table:
    """Macro-F1 and accuracy with their bootstrap intervals."""
    rows = [
        [i.name, percent(i.value), percent_range(i.low, i.high), f"{i.documents:,}", system.name]
        for system in result.systems
        for i in system.intervals
    ]
    title = f"Metrics, %, 95 % intervals from {result.resamples:,} bootstrap resamples (seed {result.seed})"
    return Table(title, ["metric", "value", "95 % interval", "texts", "predictions"], rows)


def comparison_table(result: Evaluation) -> Table:
    """The second system against the first: McNemar's test in the title, differences with intervals."""
    first, second = result.systems
    test = result.mcnemar
    assert test is not None
    title = (
        f"{second.name} against {first.name}: McNemar, exact, {test.only_second:,} texts right only in the second and "
        f"{test.only_first:,} only in the first, p = {p_value(test.p)}; differences paired by text, randomisation, Holm"
    )
    rows = [
        [
            a.name, percent(a.value), percent(b.value), f"{100 * c.difference:+.1f}", percent_range(c.low, c.high),
            p_value(c.p), p_value(c.p_holm),
        ]
        for a, b, c in zip(first.intervals, second.intervals, result.comparison, strict=True)
    ]  # fmt: skip
    return Table(title, ["metric", "first", "second", "difference", "95 % interval", "p", "p (Holm)"], rows)


def class_table(system: Classified) -> Table:
    """Precision, recall and F1 of each class."""
    rows = [
        [row["class"], *(percent(row[name]) for name in ("precision", "recall", "f1")), f"{row['texts']:,}"]
        for row in system.by_class
    ]
    return Table(f"By class, %: {system.name}", ["class", "precision", "recall", "F1", "texts"], rows)


def matrix_table(result: Evaluation, system: Classified) -> Table:
    """The confusion matrix: a row for each gold class."""
    rows = [[name, *(f"{n:,}" for n in row)] for name, row in zip(result.classes, system.matrix.tolist(), strict=True)]
    return Table(f"Confusion matrix: {system.name}", ["gold", *(f"as {name}" for name in result.classes)], rows)


def source_table(system: Classified) -> Table:
    """Macro-F1 and accuracy of each source."""
    rows = [
        [name or "(none)", percent(f1), percent(accuracy), f"{texts:,}"]
        for name, (texts, f1, accuracy) in system.by_source.items()
    ]
    return Table(f"By source, %: {system.name}", ["source", "macro-F1", "accuracy", "texts"], rows)


def calibration_table(system: Classified) -> Table:
    """Reliability of the given labels' probabilities."""
    assert system.calibration is not None
    title, rows = calibration_rows(system.name, system.calibration, "texts")
    return Table(title, ["probability", "texts", "mean probability", "share right"], rows)


def error_table(system: Classified) -> Table:
    """Wrong labels that were nearly right, nearest first."""
    rows = [
        [e.id, e.gold, e.given, f"{e.probability:.3f}", f"{e.margin:.3f}", " ".join(e.text.split())[:80]]
        for e in system.errors
    ]
    header = ["id", "gold", "given", "probability", "margin", "text"]
    return Table(f"Errors nearest to the border: {system.name}", header, rows)


def space_table(spaces: dict[str, Separation]) -> Table:
    """How well the classes stand apart in the vectors of each model."""
    rows = [
        [name, f"{s.silhouette:.3f}", f"{s.within:.4f}", f"{s.between:.4f}", f"{s.ratio:.3f}"]
        for name, s in spaces.items()
    ]
    header = ["model", "silhouette", "within", "between", "between / within"]
    return Table("Gold classes in the models' unit vectors (silhouette by cosine, on a sample)", header, rows)
