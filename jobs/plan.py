"""What a person reads before a run and after it: the plan, and the short table at the end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.table import Table

from kartoteka import cluster
from kartoteka.display import scores_note
from kartoteka.flow.build import Build
from kartoteka.flow.execute import pool_sizes, pools_of
from kartoteka.flow.stage import Stage
from kartoteka.sources import Split


def print_plan(build: Build, splits: Sequence[Split], stages: Sequence[Stage]) -> None:
    """Print inputs, nodes, and for each stage its pools and what is done already.

    Raises `ValueError` when a stage could not be scheduled on the cluster that is connected.
    """
    files = dict.fromkeys(split.file for split in splits)
    size = sum(file.size for file in files)
    build.console.print(f"{len(files):,} files, {size / 1e6:,.1f} MB, {len(splits):,} splits -> {build.storage.uri}")
    for node in cluster.describe():
        build.console.print(
            f"node {node['node']}: {node['cpus']:g} CPU, {node['gpus']:g} GPU, {node['memory_gib']:g} GiB"
        )
    table = Table("stage", "workers", "parts done")
    for stage in stages:
        pools = pools_of(stage)
        sizes = pool_sizes([needs for _, needs in pools], parts=1 << 20)
        workers = " -> ".join(
            f"{'+'.join(step.name for step in steps) or 'write'}: "
            + (f"{size} x {needs.as_text()}" if needs.cpus or needs.gpus else "beside")
            for (steps, needs), size in zip(pools, sizes, strict=True)
        )
        table.add_row(stage.name, workers, f"{len(build.ledger.done(stage.name)):,}")
    build.console.print(table)


def print_result(build: Build, manifest: dict[str, Any]) -> None:
    """Print the counts, the stages and where the report lies."""
    counts = manifest["counts"]
    table = Table("stage", *(("rows", "seconds", "CPU-seconds", "rows/s", "Wh")))
    for column in table.columns[1:]:
        column.justify = "right"
    for stage in manifest["stages"]:
        table.add_row(
            stage["name"],
            f"{stage['rows_in']:,}",
            f"{stage['seconds']:,.1f}",
            f"{stage['cpu_seconds']:,.1f}",
            f"{stage['rows_per_second']:,.1f}",
            f"{stage['energy_wh']:.3f}",
        )
    build.console.print(table)
    build.console.print(
        f"{counts['read']:,} rows read = {counts['documents']:,} documents + {counts['quarantined']:,} quarantined"
    )
    quality = manifest.get("quality") or {}
    for name, value in quality.get("metrics", {}).items():
        build.console.print(f"{name}: {value['value']:.3f} [{value['low']:.3f}, {value['high']:.3f}]")
    if note := scores_note(quality):
        build.console.print(note)
    build.console.print(f"report: {build.storage.path('report.html')}", soft_wrap=True)
