"""All benches, one after another, each in a process of its own; then every requirement beside what was measured.

    python -m bench [--only NAME ...] [--corpus PATH ...] [--documents N]

Without --corpus the samples are taken, repeated where a bench needs more documents than they hold; any archive that
`kartoteka reindex` reads may be given. --documents is for trying things out: each bench knows the size it is meant for.
What was printed and measured is kept in bench/results/, one JSON file a bench. Nothing else should run meanwhile.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.processes import ROOT
from bench.tables import RESULTS, Check, Outcome, checks_table

LINES = (".jsonl", ".jsonl.gz", ".jsonl.zst")


def flags(corpus: Sequence[str], documents: int | None) -> list[str]:
    """Of the benches of the whole pipeline."""
    return (["--corpus", *corpus] if corpus else []) + (["--documents", str(documents)] if documents else [])


def embedding(corpus: Sequence[str], documents: int | None) -> list[str]:
    """Some hundreds of texts in several rounds tell as much as many thousands in one."""
    return [*corpus, "--documents", str(min(documents or 400, 1000))]


def lexical(corpus: Sequence[str], documents: int | None) -> list[str]:
    return [*(path for path in corpus if path.endswith(LINES)), *flags((), documents)]


def nothing(corpus: Sequence[str], documents: int | None) -> list[str]:
    """It makes its own data, or says what data it needs."""
    return []


@dataclass(frozen=True)
class Bench:
    """A module of this package: how it takes its arguments, and what is read from its output if it keeps no JSON."""

    arguments: Callable[[Sequence[str], int | None], list[str]]
    checks: Callable[[str], list[Check]] | None = None


def embedding_checks(output: str) -> list[Check]:
    """The two requirements, from the table that the bench prints: name, documents/s, ratio, ..., cosine mean / min."""
    row = re.compile(r"^(\S.*?)\s{1,}([\d.]+)\s+([\d.]+)\s+([\d.]+)\s+([\d.]+)\s+([\d.]+) / ([\d.]+)")
    rates, cosines = {}, {}
    for found in filter(None, map(row.match, output.splitlines())):
        rates[found[1]], cosines[found[1]] = float(found[2]), float(found[7])

    def best(beginning: str) -> tuple[str, float]:
        return max(((n, r) for n, r in rates.items() if n.startswith(beginning)), key=lambda p: p[1], default=("", 0.0))

    name, ours = best("ours")
    checks = []
    for peer, what, required in (
        ("SentenceTransformer", "embedding beside SentenceTransformer.encode", 6.0),
        ("OpenVINO", "embedding beside OpenVINO, sorted batches", 1.2),
    ):
        _, theirs = best(peer)
        if not ours or not theirs:
            checks.append(Check(what, f">= {required:g} x", "", None))
            continue
        ratio, close = ours / theirs, cosines[name] >= 0.9999
        measured = f"{ratio:.2f} x ({name}; least cosine {cosines[name]:.6f})"
        checks.append(
            Check(what, f">= {required:g} x at cosine >= 0.9999", measured, close and round(ratio, 2) >= required)
        )
    return checks


BENCHES = {
    "embedding": Bench(embedding, embedding_checks),
    "lexical": Bench(lexical, lambda output: []),
    "vectors": Bench(nothing, lambda output: []),
    "filters": Bench(nothing),
    "kmeans": Bench(nothing),
    "quality": Bench(flags),
    "reindex": Bench(flags),
    "ray_share": Bench(flags),
    "driver_memory": Bench(flags),
    "training": Bench(flags),
    "sentiment": Bench(nothing),
    "sentiment_ngrams": Bench(nothing),
}


def run(name: str, corpus: Sequence[str], documents: int | None) -> list[Check]:
    """Run one bench, its output passed through; its checks, one of them failed if it ended badly."""
    bench = BENCHES[name]
    command = [sys.executable, "-m", f"bench.{name}", *bench.arguments(corpus, documents)]
    path = os.pathsep.join(filter(None, [str(ROOT / "platform"), str(ROOT), os.environ.get("PYTHONPATH")]))
    environment = os.environ | {"PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}
    print(f"# {name}\n", flush=True)
    clock, lines = time.time(), []
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    for line in process.stdout:
        lines.append(line)
        print(line, end="", flush=True)
    code = process.wait()
    print(f"\n({name}: {time.time() - clock:,.0f} s)\n", flush=True)
    if code:
        return [Check(f"the bench {name}", "ends well", f"exit status {code}", False)]
    if bench.checks is None:
        kept = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
        return [Check(**check) for check in kept["checks"]]
    output = "".join(lines)
    outcome = Outcome(name, name, checks=bench.checks(output), values={"output": output})
    outcome.save()
    return outcome.checks


def main() -> None:
    here = [name for name in BENCHES if Path(__file__).with_name(f"{name}.py").exists()]
    parser = argparse.ArgumentParser(
        prog="python -m bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=here, metavar="NAME", default=here, help=", ".join(here))
    parser.add_argument("--corpus", nargs="+", default=[], metavar="PATH", help="files or folders of an archive")
    parser.add_argument("--documents", type=int, help="instead of each bench's own number")
    options = parser.parse_args()
    corpus = [str(Path(path).resolve()) if "://" not in path else path for path in options.corpus]
    checks = [check for name in options.only for check in run(name, corpus, options.documents)]
    print(checks_table(checks), flush=True)
    sys.exit(any(check.met is False and check.required == "ends well" for check in checks))


if __name__ == "__main__":
    main()
