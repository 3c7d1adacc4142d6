"""The page of an evaluated classifier: figures, confusion matrices, calibration, errors."""

from __future__ import annotations

from kartoteka.display import clip, number
from kartoteka.evaluation import classification_tables as tables
from kartoteka.evaluation.classification import Classified, Evaluation
from kartoteka.evaluation.report import Table
from kartoteka.evaluation.space import Separation
from kartoteka.report import plots
from kartoteka.report.frame import page, sections, tiles
from kartoteka.report.html import Markup, element, table


def build(result: Evaluation, spaces: dict[str, Separation]) -> str:
    """The page as HTML; `spaces` as in `classification_tables.tables`."""
    head = element(
        "header",
        element("p", "Kartoteka evaluation", class_="over"),
        element("h1", "Sentiment" if len(result.systems) == 1 else "Sentiment, two systems"),
        tiles(
            [("texts", number(result.texts))] + [(s.name, f"{100 * s.intervals[0].value:.1f}") for s in result.systems]
        ),
        element("p", "Large figures: macro-F1 in percent.", class_="soft small"),
    )
    compared = [] if result.mcnemar is None else [_shown(tables.comparison_table(result))]
    apart = [_shown(tables.space_table(spaces))] if spaces else []
    parts = [("metrics", "Metrics", [_shown(tables.metric_table(result)), *compared, *apart])]
    parts += [(f"system-{i}", clip(s.name, 60), _system(result, s)) for i, s in enumerate(result.systems)]
    return page("Sentiment – Kartoteka evaluation", [head, sections(parts)])


def confusion_picture(classes: tuple[str, ...], matrix: list[list[int]], *, caption: str) -> Markup:
    """The matrix as a table whose cells are the darker, the larger their share of the gold class (the row)."""

    def cell(count: int, whole: int) -> Markup:
        share = count / whole if whole else 0.0
        shade = f"background:color-mix(in srgb,var(--accent) {70 * share:.0f}%,transparent)"
        return element("div", f"{share:.0%} ", element("span", f"({count:,})", class_="small"), style=shade)

    rows = [[name, *(cell(n, sum(row)) for n in row)] for name, row in zip(classes, matrix, strict=True)]
    return table(
        ["gold", *(f"as {name}" for name in classes)], rows, caption=caption, numeric=range(1, 1 + len(classes))
    )


def _system(result: Evaluation, system: Classified) -> Markup:
    matrix = confusion_picture(result.classes, system.matrix.tolist(), caption=f"Confusion matrix: {system.name}")
    left = element(
        "div", element("h3", "Confusion matrix"), matrix, element("h3", "Classes"), _shown(tables.class_table(system))
    )
    right = element("div", element("h3", "Sources"), _shown(tables.source_table(system)))
    below = None
    if system.calibration is not None:
        bins = [
            {"count": b.count, "mean_score": b.score, "share_correct": b.accuracy}
            for b in system.calibration.equal_mass
        ]
        drawn = plots.calibration(bins, system.calibration.ece_equal_mass, counted="texts", right="share that is right")
        right = element("div", element("h3", "Calibration"), drawn, right)
        below = Markup(element("h3", "Errors nearest to the border") + _shown(tables.error_table(system)))
    return Markup(element("div", left, right, class_="two") + (below or ""))


def _shown(made: Table) -> Markup:
    return Markup(
        element("p", made.title, class_="soft small")
        + table(made.header, made.rows, caption=made.title, numeric=range(1, len(made.header)))
    )
