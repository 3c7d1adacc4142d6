"""`report.html` of a run: its figures, its curves, its settings."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa

from kartoteka.display import duration, number, quantity
from kartoteka.report.curves import curve
from kartoteka.report.frame import page, sections, tiles
from kartoteka.report.html import Markup, element, table
from kartoteka.storage import Storage
from kartoteka.training import metrics
from kartoteka.training.task import Task

#: Figures of training steps that have a curve; of validations, all have one.
_CURVES = ("loss", "learning_rate", "gradient_norm")


def write_report(run: Storage, task: Task, about: dict[str, Any], figures: pa.Table) -> None:
    """Write the page; `about` is what `run.json` says, `figures` a table of `metrics.SCHEMA`."""
    run.put("report.html", build(task.name, task.metric, about, figures).encode())


def build(name: str, metric: str, about: dict[str, Any], figures: pa.Table) -> str:
    """The page as HTML; `metric` is the figure that decided."""
    best = about["best"]
    head = element(
        "header",
        element("p", "Kartoteka training run", class_="over"),
        element("h1", name),
        tiles(
            [
                (f"best {metric}", number(best[metric], 4)),
                ("at step", f"{best['step']:,} of {about['steps']:,}"),
                ("time", duration(about["seconds"])),
                ("workers", f"{about['workers']} ({about['device']})"),
                ("energy, Wh", quantity(about["energy_wh"])),
            ]
        ),
    )
    parts = [
        ("validation", "Validation", _validation(metric, best, figures)),
        ("training", "Training", element("div", [_figure(name, figures) for name in _CURVES], class_="two")),
        ("settings", "Settings", _settings(about)),
    ]
    return page(f"{name} – Kartoteka training run", [head, sections(parts)])


def _validation(metric: str, best: dict[str, Any], figures: pa.Table) -> list[Markup]:
    names = [metric, *(name for name in best if name not in ("step", metric))]
    first = {name: metrics.curve(figures, f"validation_{name}")[1][:1] for name in names}
    rows = [[name, number(*first[name], 4) if first[name] else "–", number(best[name], 4)] for name in names]
    shown = table(["figure", "before training", "best"], rows, caption="Validation figures", numeric=(1, 2))
    curves = [_figure(f"validation_{name}", figures, dots=True, marked=best["step"]) for name in names]
    return [shown, element("div", curves, class_="two")]


def _figure(name: str, figures: pa.Table, **how: Any) -> Markup:
    steps, values = metrics.curve(figures, name)
    return element("div", element("h3", name.replace("_", " ")), curve(steps, values, name=name, **how))


def _settings(about: dict[str, Any]) -> Markup:
    kept = {key: about[key] for key in ("command", "task", "training", "data", "energy_how")}
    return element("pre", json.dumps(kept, indent=2, ensure_ascii=False))
