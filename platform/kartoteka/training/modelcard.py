"""The model card: what a stranger must know before using the weights, in the hub's format (YAML head, Markdown)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def write_card(folder: Path, card: dict[str, Any], run: dict[str, Any]) -> None:
    """Write `README.md` beside the weights: `card` is `Task.card`, `run` what `run.json` says."""
    (folder / "README.md").write_text(text_of(card, run), encoding="utf-8")


def text_of(card: dict[str, Any], run: dict[str, Any]) -> str:
    """The card as text."""
    best = run["best"]
    figures = "\n".join(f"| {name} | {value:.4f} |" for name, value in best.items() if name != "step")
    steps = f", at step {best['step']:,} of {run['steps']:,}, the best" if "step" in best else ""
    settings = json.dumps({"task": run["task"], "training": run["training"]}, indent=2, ensure_ascii=False)
    lines = [
        "---",
        f"license: {card['license']}",
        f"language: [{', '.join(card['languages'])}]",
        "library_name: kartoteka",
        "---",
        "",
        f"# {card['title']}",
        "",
        card["intended"],
        "",
        f"Started from: {card['base']}.",
        "",
        "## Data",
        "",
        *(f"- {line}" for line in card["data"]),
        *(f"- {name}: {value}" for name, value in run["data"].items() if not isinstance(value, dict)),
        "",
        "## Quality",
        "",
        f"On {run.get('measured', 'validation documents')} kept out of the training{steps}:",
        "",
        "| figure | value |",
        "|---|---|",
        figures,
        "",
        "## Cost",
        "",
        f"{run['seconds']:,.0f} s on {run['workers']} worker(s), {run['device']}; "
        f"{run['cpu_seconds']:,.0f} CPU-seconds, {run['energy_wh']:,.2f} Wh ({run['energy_how']}).",
        "",
        "## Limits",
        "",
        card["limits"],
        "",
        "## How it was made",
        "",
        f"`{run['command']}`",
        "",
        "```json",
        settings,
        "```",
        "",
    ]
    return "\n".join(lines)
