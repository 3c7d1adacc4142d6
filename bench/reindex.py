"""The whole `kartoteka reindex` beside a plain single-process script that does what the paper does, on one corpus.

    python -m bench.reindex [--corpus PATH ...] [--documents N] [--rounds N]

Both are commands run as a user runs them, from nothing to their last file: start-up, loading and writing are counted.
Ours does more than the script: normalising, languages, vectors kept and indexed, a learned ranker, a report.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from pathlib import Path

from bench import corpus
from bench.processes import Watched, watch
from bench.tables import Check, Outcome

REQUIRED = 3.0
WARM_UP = 60


def ours(archive: Path, edition: Path) -> tuple[Watched, dict]:
    run = watch(["-m", "jobs", "reindex", str(archive), "--edition", str(edition)])
    return run, json.loads((edition / "manifest.json").read_text(encoding="utf-8"))


def theirs(archive: Path, out: Path) -> tuple[Watched, dict]:
    run = watch(["bench/plain_script.py", str(archive), str(out)])
    return run, json.loads(run.lines[-1][1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", nargs="+", default=[])
    parser.add_argument("--documents", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=1, help="each runs both; the order alternates")
    options = parser.parse_args()

    runs: dict[str, list[tuple[Watched, dict]]] = {"ours": [], "script": []}
    with tempfile.TemporaryDirectory(prefix="kartoteka-bench-") as folder:
        archive, warm = Path(folder, "corpus.jsonl"), Path(folder, "warm.jsonl")
        about = corpus.write(options.corpus, options.documents, archive)
        corpus.write(options.corpus, WARM_UP, warm)
        ours(warm, Path(folder, "edition-warm"))
        theirs(warm, Path(folder, "out-warm.jsonl"))
        for number in range(options.rounds):
            for name in ("ours", "script") if number % 2 else ("script", "ours"):
                if name == "ours":
                    runs[name].append(ours(archive, Path(folder, f"edition-{number}")))
                else:
                    runs[name].append(theirs(archive, Path(folder, f"out-{number}.jsonl")))

    wall = {name: statistics.median(run.wall for run, _ in rows) for name, rows in runs.items()}
    cpu = {name: statistics.median(run.cpu for run, _ in rows) for name, rows in runs.items()}
    manifest, script = runs["ours"][-1][1], runs["script"][-1][1]
    ratio = wall["script"] / wall["ours"]
    outcome = Outcome("reindex", "The whole re-index beside a plain script")
    outcome.notes += [
        about,
        f"medians of {options.rounds} round(s), after a run of both on {WARM_UP} documents; "
        "default threads; from the command to its end, start-up included",
        f"the script encodes each of its {script['phrases']:,} distinct candidate phrases once (the paper: once a "
        "document); it neither normalises, detects languages, learns, explains nor reports",
        f"the re-index: encoder in {encoder_precision(manifest)}",
    ]
    outcome.table(
        "Both commands",
        ["", "wall s", "documents/s", "CPU-s", "ratio wall", "ratio CPU"],
        [
            [
                label,
                f"{wall[name]:,.1f}",
                f"{options.documents / wall[name]:,.1f}",
                f"{cpu[name]:,.1f}",
                f"{wall['script'] / wall[name]:.2f}",
                f"{cpu['script'] / cpu[name]:.2f}",
            ]
            for name, label in (("script", "plain script"), ("ours", "kartoteka reindex"))
        ],
    )
    stages = manifest["stages"]
    inside = sum(stage["seconds"] for stage in stages)
    rows = []
    for s in stages:
        figures = f"{s['rows_in']:,}", f"{s['seconds']:,.1f}", f"{s['cpu_seconds']:,.1f}"
        rows.append([s["name"], *figures, share(s["seconds"], wall["ours"])])
    last = runs["ours"][-1][0]
    rest, rest_cpu = last.wall - inside, last.cpu - sum(stage["cpu_seconds"] for stage in stages)
    rows.append(["starting, loading, report", "", f"{rest:,.1f}", f"{rest_cpu:,.1f}", share(rest, wall["ours"])])
    outcome.table("Where kartoteka's time goes (last round)", ["stage", "rows", "wall s", "CPU-s", "of wall"], rows)
    outcome.table(
        "Where the script's time goes (last round)",
        ["step", "wall s", "of wall"],
        [[name, f"{s:,.1f}", share(s, wall["script"])] for name, s in script["seconds"].items()],
    )
    what = f"whole reindex, {options.documents:,} documents, beside a plain script"
    outcome.checks.append(Check(what, f">= {REQUIRED:g} x", f"{ratio:.2f} x", ratio >= REQUIRED))
    output = runs["ours"][-1][0].output
    outcome.values = {"wall": wall, "cpu": cpu, "stages": stages, "script": script, "output": output}
    outcome.publish()


def encoder_precision(manifest: dict) -> str:
    from kartoteka.encoding.encoder import load_encoder
    from kartoteka.encoding.settings import EncodingSettings

    settings = EncodingSettings.model_validate(manifest["config"]["encoding"])
    return str(load_encoder("demo", device="cpu", settings=settings).identity["precision"])


def share(part: float, whole: float) -> str:
    return f"{part / whole:.0%}"


if __name__ == "__main__":
    main()
