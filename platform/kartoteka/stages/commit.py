"""Commit: count what went in and out, write the manifest last, then show the edition and sweep the workshop floor."""

from __future__ import annotations

import importlib.metadata
import platform
import time
from typing import Any

from kartoteka import __version__, report
from kartoteka.edition import BUILD, FORMAT, MANIFEST
from kartoteka.energy import EnergyMeter
from kartoteka.flow.build import Build, summarise, total_facts
from kartoteka.flow.ledger import Completion, add_facts
from kartoteka.stages.fit import QUALITY
from kartoteka.storage import Storage

#: Versions that decide an edition's values.
PACKAGES = (
    "ray", "torch", "transformers", "tokenizers", "numpy", "pyarrow", "bm25s", "faiss-cpu", "faiss-gpu",
    "scikit-learn", "PyStemmer", "pymorphy3", "rutermextract", "py3langid",
)  # fmt: skip


def commit(build: Build, meter: EnergyMeter) -> dict[str, Any]:
    """Write the manifest from the completions of all stages; returns it.

    Raises `RuntimeError` when rows were lost: rows read must equal rows in the edition plus rows quarantined.
    """
    done = {stage: build.ledger.done(stage) for stage in build.order}
    precisions = total_facts(done["embed"]).get("precisions", {})
    encoder = build.plan["encoder"] | {"precision": " and ".join(sorted(precisions))}
    if len(precisions) > 1:
        build.console.print(f"embed: nodes computed in different precisions: {precisions}; set [encoding] precision")
    others = {name: build.plan[name] for name in ("ranker", "classifier") if name in build.plan}
    manifest = {
        "format": FORMAT,
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "plan_hash": build.plan_hash,
        "config": build.plan["config"],
        "config_hash": build.plan_hash,
        "inputs": build.plan["inputs"],
        "versions": _versions(),
        "models": {"encoder": encoder} | others,
        "counts": _counts(done),
        "stages": [_stage(name, list(completions.values()), meter) for name, completions in done.items()],
        "quality": build.storage.get_json(QUALITY),
        "files": {
            name: facts
            for completions in done.values()
            for completion in completions.values()
            for name, facts in sorted(completion.files.items())
        },
    }
    build.storage.put_json(MANIFEST, manifest)
    return manifest


def finish(build: Build) -> None:
    """Make the report and remove the build folder: what is left to do once the manifest is there, however often."""
    if not build.storage.exists("report.html"):
        from kartoteka.flow.execute import apart

        apart(write_report, build.storage.whole())
    build.storage.delete(BUILD)


def write_report(root: str) -> None:
    """Make the page. It samples the tables: work for a worker, so that the driver's memory does not grow with them."""
    Storage(root).put("report.html", report.build(root).encode())


def _counts(done: dict[str, dict[str, Completion]]) -> dict[str, Any]:
    read, embed, withdrawn = done["read"].values(), done["embed"], done["withdraw"]
    facts = add_facts(total_facts(embed), total_facts(withdrawn))
    rows = sum(c.rows_in for c in read)
    documents = sum(c.rows_out for c in embed.values()) - sum(c.quarantined for c in withdrawn.values())
    quarantined = sum(facts.get("reasons", {}).values())
    if rows != documents + quarantined:
        raise RuntimeError(f"rows were lost: {rows} read, {documents} in the edition, {quarantined} quarantined")
    return {
        "read": rows,
        "documents": documents,
        "quarantined": quarantined,
        "annotated": facts.get("annotated", 0),
        "languages": facts.get("languages", {}),
        "years": facts.get("years", {}),
        "reasons": facts.get("reasons", {}),
        "clusters": total_facts(done["clusters"]).get("clusters", 0),
        "labelled": sum(c.rows_out for c in done.get("labels", {}).values()),
        "reliable": total_facts(done.get("labels", {})).get("reliable", 0),
    }


def _stage(name: str, completions: list[Completion], meter: EnergyMeter) -> dict[str, Any]:
    summary = summarise(name, completions)
    energy = meter.energy(summary["cpu_seconds"])
    return summary | {"energy_wh": round(energy.wh, 6), "energy_how": energy.how}


def _versions() -> dict[str, str]:
    versions = {"kartoteka": __version__, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions
