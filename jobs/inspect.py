"""What is in an edition, whether it is whole, and one document of it as a card.

    kartoteka inspect EDITION                  counts, stages, models, quality; every file hashed against the manifest
    kartoteka inspect EDITION --no-verify      the same without reading the files
    kartoteka inspect EDITION --id ID          one document: its keyphrases, and why each of them
    kartoteka inspect EDITION --json           either, as one JSON object

Exit code 1: a file is missing, changed or not listed. Exit code 2: not an edition, or no such document.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from jobs.cli import stop
from kartoteka import edition as editions
from kartoteka.card import cards, render
from kartoteka.display import clean, duration, number, papers_order, percent_scale, quantity, scores_note


def inspect(
    edition: Annotated[str, typer.Argument(metavar="EDITION", help="Folder or URI of an edition.")],
    identity: Annotated[str | None, typer.Option("--id", help="Show this document as a card.")] = None,
    verify: Annotated[
        bool | None,
        typer.Option(
            "--verify/--no-verify", help="Hash every file against the manifest. Default: unless --id is given."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")] = False,
) -> None:
    """Show what an edition holds and whether it is whole, or one of its documents."""
    try:
        opened = editions.open(edition)
    except (ValueError, OSError) as error:
        raise stop(clean(str(error)), 2) from None
    try:
        found = None if identity is None else cards(opened, [identity]).get(identity)
        check = identity is None if verify is None else verify
        faults = list(editions.verify(opened)) if check else None
    except (ValueError, OSError, KeyError) as error:  # a table that is torn or gone, a manifest without its file list
        raise stop(clean(f"edition: {edition} is damaged: {error}"), 1) from None
    if identity is not None and found is None:
        raise stop(f"id: {identity!r} is not in {edition}", 2)

    quality = opened.manifest.get("quality") or {}
    if as_json:
        shown: dict[str, Any] = {"path": opened.path, **opened.manifest}
        if found:
            shown = {**asdict(found), "calibrated": quality.get("calibrated")}
        if faults is not None:
            shown["faults"] = [asdict(fault) for fault in faults]
        typer.echo(json.dumps(shown, ensure_ascii=False, indent=2))
    else:
        console = Console(highlight=False)
        if found:
            console.print(render(found))
        else:
            _summary(console, opened)
        if note := scores_note(quality):
            console.print(Text(note, "yellow"))
        if faults is not None:
            _wholeness(console, len(opened.manifest["files"]), faults)
    if faults:
        raise typer.Exit(1)


def _summary(console: Console, edition: editions.Edition) -> None:
    manifest = edition.manifest
    counts = manifest.get("counts") or {}
    console.print(Text(edition.path, "bold"))
    made = f"made {manifest.get('created', 'at an unknown time')}"
    if manifest.get("config_hash"):
        made += f", configuration {str(manifest['config_hash'])[:12]}"
    console.print(Text(clean(made), "dim"))
    console.print()
    console.print(_pairs(counts, manifest.get("models") or {}))
    console.print()
    if manifest.get("stages"):
        console.print(_stages(manifest["stages"]))
        console.print()
    metrics = (manifest.get("quality") or {}).get("metrics") or {}
    if metrics:
        console.print(_quality(metrics, manifest["quality"].get("baseline") or {}))
    else:
        console.print(Text("quality: not measured", "dim"))
    console.print()


def _pairs(counts: Mapping[str, Any], models: Mapping[str, Any]) -> Table:
    table = Table.grid(padding=(0, 2))
    for name in ("read", "documents", "quarantined", "annotated", "clusters", "labelled", "reliable"):
        table.add_row(Text(name, "dim"), number(counts.get(name)))
    for name in ("languages", "reasons"):
        ordered = sorted((counts.get(name) or {}).items(), key=lambda item: (-item[1], item[0]))
        table.add_row(Text(name, "dim"), Text(clean(", ".join(f"{key} {n:,}" for key, n in ordered)) or "–"))
    for role, model in models.items():
        facts = [str(v) for v in ((model or {}).get("name"), (model or {}).get("revision")) if v]
        if (model or {}).get("sha256"):
            facts.append(f"sha256 {model['sha256'][:16]}")
        table.add_row(Text(clean(role), "dim"), Text(clean(", ".join(facts)) or "–"))
    return table


def _stages(stages: list[Mapping[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("stage", no_wrap=True)
    for name in ("rows in", "rows out", "refused", "time", "CPU", "rows/s", "Wh"):
        table.add_column(name, justify="right", no_wrap=True)
    for stage in stages:
        table.add_row(
            Text(clean(stage["name"])),
            number(stage.get("rows_in")),
            number(stage.get("rows_out")),
            number(stage.get("quarantined")),
            duration(stage.get("seconds")),
            duration(stage.get("cpu_seconds")),
            quantity(stage.get("rows_per_second")),
            quantity(stage.get("energy_wh")),
        )
    return table


def _quality(metrics: Mapping[str, Any], baseline: Mapping[str, Any]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("held-out documents, %", min_width=24)
    for name in ("value", "interval", "votes"):
        table.add_column(name, justify="right", no_wrap=True)
    scale = percent_scale(m["value"] for m in [*metrics.values(), *baseline.values()])
    for name, metric in sorted(metrics.items(), key=papers_order):
        low, high = metric.get("low"), metric.get("high")
        between = "–" if low is None or high is None else f"{scale * low:.1f} – {scale * high:.1f}"
        votes = f"{scale * baseline[name]['value']:.1f}" if name in baseline else "–"
        table.add_row(Text(clean(name)), f"{scale * metric['value']:.1f}", between, votes)
    return table


def _wholeness(console: Console, count: int, faults: list[editions.Fault]) -> None:
    if not faults:
        console.print(Text(f"whole: {count:,} files as the manifest says", "green"))
        return
    console.print(Text(f"not whole: {len(faults):,} of its files differ from the manifest", "bold red"))
    for fault in faults:
        console.print(Text(f"  {fault.what}: {clean(fault.file)}"), soft_wrap=True)
