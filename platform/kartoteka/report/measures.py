"""The sections on how the run went: quality on held-out documents, time and energy, and what it was made with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kartoteka.display import clip, duration, number, papers_order, percent_scale, quantity, scores_note, size
from kartoteka.report import plots
from kartoteka.report.content import absent
from kartoteka.report.html import Child, Markup, element, join, table

_MOST_ROWS = 20


def quality(measured: Mapping[str, Any]) -> Markup:
    """Metrics with intervals beside the votes rule, and how well scores are calibrated, if they are at all."""
    metrics = measured.get("metrics") or {}
    note = scores_note(measured)
    if not metrics:
        return join([absent("Quality was not measured on held-out documents."), note and element("p", note)])
    baseline = measured.get("baseline") or {}
    values = [m["value"] for m in [*metrics.values(), *baseline.values()]]
    scale = percent_scale(values)
    highs = [m.get("high") or m["value"] for m in metrics.values()]
    top = _round_up(scale * max([*values, *highs]))
    rows = [_metric(name, m, baseline.get(name), scale, top) for name, m in sorted(metrics.items(), key=papers_order)]
    count = measured.get("documents")
    intro = "Measured on " + (f"{count:,} " if count else "") + "annotated documents held out from the ranker"
    if measured.get("convention"):
        intro += f"; {measured['convention']}"
    left = [
        element("p", intro.rstrip(".") + "."),
        table(
            ["metric", f"0 – {top:g} %", "this edition", "votes", "interval"],
            rows,
            caption="Quality on held-out documents, in percent",
            numeric=(2, 3, 4),
            class_="ranges",
        ),
        element("ul", element("li", "this edition, with its 95 % interval"), _votes(baseline), class_="key"),
    ]
    return element(
        "div",
        element("div", element("h3", "Keyphrases against the cataloguers' own"), left),
        element(
            "div",
            element("h3", "Are the scores probabilities?"),
            element("p", note) if note else _calibration(measured.get("calibration") or {}),
        ),
        class_="two",
    )


def _votes(baseline: Mapping[str, Any]) -> Markup | None:
    return element("li", "votes of the neighbours, present phrases first", class_="baseline") if baseline else None


def _metric(name: str, m: Mapping[str, Any], beside: Mapping[str, Any] | None, scale: int, top: float) -> list[Child]:
    value, low, high = (None if m.get(key) is None else scale * m[key] for key in ("value", "low", "high"))
    votes = None if beside is None else scale * beside["value"]
    assert value is not None, "a metric without a value"
    between = "–" if low is None or high is None else f"{low:.1f} – {high:.1f}"
    dots = plots.interval(value, low, high, votes, top)
    return [name, dots, element("strong", f"{value:.1f}"), number(votes, 1), between]


def _round_up(value: float) -> float:
    return next(top for top in (1, 10, 20, 30, 40, 50, 60, 80, 100) if value <= top or top == 100)


def _calibration(measured: Mapping[str, Any]) -> Markup:
    bins = measured.get("bins") or []
    if not bins:
        return absent("Calibration was not measured.")
    ece = measured.get("ece")
    text = "On the dashed line, phrases scored 0.3 are right three times in ten; a larger dot stands for more phrases."
    if ece is not None:
        text += f" Expected calibration error: {ece:.3f}."
    rows = [
        [f"{b['low']:.2f} – {b['high']:.2f}", number(b["count"]), f"{b['mean_score']:.3f}", f"{b['share_correct']:.3f}"]
        for b in bins
    ]
    figures = table(
        ["scores", "phrases", "mean score", "share correct"], rows, caption="Calibration by bin", numeric=(1, 2, 3)
    )
    return join(
        [
            plots.calibration(bins, ece),
            element("p", text, class_="small soft"),
            element("details", element("summary", "The figures"), figures),
        ]
    )


def run(stages: list[Mapping[str, Any]]) -> Markup:
    """Where time and energy went, stage by stage."""
    if not stages:
        return absent("The stages were not measured.")
    time = [
        ([s["name"], duration(s.get("seconds")), duration(s.get("cpu_seconds"))], s.get("seconds") or 0) for s in stages
    ]
    rows = [
        [
            s["name"],
            number(s.get("parts")),
            number(s.get("rows_in")),
            number(s.get("rows_out")),
            number(s.get("quarantined")),
            quantity(s.get("rows_per_second")),
            quantity(s.get("energy_wh")),
        ]
        for s in stages
    ]
    rows.append(["all stages", "", "", "", *_totals(stages)])
    hows = sorted({s["energy_how"] for s in stages if s.get("energy_how")})
    energy = "Energy: " + "; ".join(hows) + "." if hows else "Energy was not measured."
    return join(
        [
            plots.bars(["stage", "time", "CPU time"], time, caption="Time by stage", numeric=(1, 2)),
            table(
                ["stage", "parts", "rows in", "rows out", "quarantined", "rows / s", "energy, Wh"],
                rows,
                caption="Rows, rates and energy by stage",
                numeric=range(1, 7),
            ),
            element("p", energy, class_="small soft"),
        ]
    )


def _totals(stages: list[Mapping[str, Any]]) -> list[str]:
    refused = sum(s.get("quarantined") or 0 for s in stages)
    spent = [s["energy_wh"] for s in stages if s.get("energy_wh") is not None]
    return [number(refused), "", quantity(sum(spent)) if spent else "–"]


def particulars(manifest: Mapping[str, Any]) -> Markup:
    """Inputs, models, configuration, versions and files: what it takes to make the edition again."""
    models = [
        (f"{role}.{key}", value)
        for role, model in (manifest.get("models") or {}).items()
        for key, value in _flat(model or {})
    ]
    inputs = manifest.get("inputs") or []
    sources = [
        [element("code", i.get("path", "–")), size(i.get("bytes")), _fingerprint(i)] for i in inputs[:_MOST_ROWS]
    ]
    more = absent(f"and {len(inputs) - _MOST_ROWS:,} more") if len(inputs) > _MOST_ROWS else None
    return join(
        [
            element("h3", "Models"),
            _pairs(models, "Models", "No model was recorded."),
            element("h3", "Inputs"),
            table(["file", "size", "fingerprint"], sources, caption="Inputs", numeric=(1,)) if sources else absent("–"),
            more,
            element("h3", "Files of the edition"),
            _files(manifest.get("files") or {}),
            element("h3", "Versions"),
            _pairs(list(_flat(manifest.get("versions") or {})), "Versions", "No version was recorded."),
            element("h3", "Configuration"),
            _pairs(list(_flat(manifest.get("config") or {})), "Configuration", "No configuration was recorded."),
        ]
    )


def _fingerprint(entry: Mapping[str, Any]) -> Markup:
    return element("code", str(entry.get("fingerprint", "–"))[:16])


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _pairs(pairs: list[tuple[str, Any]], caption: str, otherwise: str) -> Markup:
    if not pairs:
        return absent(otherwise)
    rows = [[key, element("code", "–" if value is None else clip(str(value), 300))] for key, value in pairs]
    return element(
        "details",
        element("summary", f"{len(rows)} entries"),
        table(["what", "value"], rows, caption=caption, class_="pairs"),
        open=len(rows) <= _MOST_ROWS,
    )


def _files(files: Mapping[str, Mapping[str, Any]]) -> Markup:
    if not files:
        return absent("No file is listed.")
    folders: dict[str, list[Mapping[str, Any]]] = {}
    for name, entry in files.items():
        folders.setdefault(name.partition("/")[0] if "/" in name else "", []).append(entry)
    rows = [
        [
            f"{folder}/" if folder else "(beside the manifest)",
            number(len(entries)),
            size(sum(e.get("bytes") or 0 for e in entries)),
            number(sum(e.get("rows") or 0 for e in entries)) if any("rows" in e for e in entries) else "–",
        ]
        for folder, entries in sorted(folders.items())
    ]
    return table(["folder", "files", "size", "rows"], rows, caption="Files by folder", numeric=(1, 2, 3))
