"""Memory of the driver of `kartoteka reindex` at a tenth and at the whole of an archive: it must not grow with it.

    python -m bench.driver_memory [--corpus PATH ...] [--documents N]

The whole command, with a tiny BERT of random weights made on the spot: the driver never loads the encoder, so the
model changes the time and not the figure. Abstracts are cut short for the same reason.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path

from bench import corpus
from bench.processes import Watched, watch
from bench.tables import Check, Outcome
from kartoteka.encoding.tiny import write_tiny_encoder

ALLOWED = 0.10
EVERY = 0.2
MOST_CHARACTERS = 300
MB = 1e6


def peak_stage(run: Watched) -> str:
    """The stage during which the driver held most: the first to report its end after that moment."""
    when = max(run.resident, key=lambda sample: sample[1])[0]
    ended = [line.split()[0] for at, line in run.lines if at >= when and " parts " in line and " rows " in line]
    return ended[0] if ended else "the end"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", nargs="+", default=[])
    parser.add_argument("--documents", type=int, default=100_000, help="of the larger run; the other has a tenth")
    options = parser.parse_args()
    counts = [max(1, options.documents // 10), options.documents]

    runs, abouts = [], []
    with tempfile.TemporaryDirectory(prefix="kartoteka-bench-") as folder:
        model = write_tiny_encoder(Path(folder, "tiny-encoder"), layers=1, tokens=64)
        for count in counts:
            archive, edition = Path(folder, f"{count}.jsonl"), Path(folder, f"edition-{count}")
            abouts.append(corpus.write(options.corpus, count, archive, MOST_CHARACTERS))
            command = ["-m", "jobs", "reindex", str(archive), "--edition", str(edition), "--encoder", str(model)]
            runs.append(watch(command, every=EVERY))

    peaks = [max(rss for _, rss, _ in run.resident) for run in runs]
    growth = peaks[1] / peaks[0] - 1
    outcome = Outcome("driver_memory", "Memory of the driver")
    outcome.notes += [
        *abouts,
        "whole re-index with a tiny encoder of random weights (the driver never loads it: the model does not matter)",
        f"RSS of the driver process every {EVERY:g} s; steady: the median of its samples; private: without what is "
        "shared with other processes (libraries, Ray's object store)",
    ]
    outcome.table(
        "Driver process",
        ["documents", "peak MB", "during", "steady MB", "peak private MB", "wall s", "documents/s"],
        [
            [
                f"{count:,}",
                f"{peak / MB:,.0f}",
                peak_stage(run),
                f"{statistics.median(rss for _, rss, _ in run.resident) / MB:,.0f}",
                f"{max(private for _, _, private in run.resident) / MB:,.0f}",
                f"{run.wall:,.0f}",
                f"{count / run.wall:,.1f}",
            ]
            for count, peak, run in zip(counts, peaks, runs, strict=True)
        ],
    )
    what = f"driver's peak memory, {counts[0]:,} to {counts[1]:,} documents"
    outcome.checks.append(Check(what, f"within {ALLOWED:.0%}", f"{growth:+.1%}", abs(growth) <= ALLOWED))
    outcome.values = {
        "counts": counts,
        "peaks": peaks,
        "outputs": [run.output for run in runs],
        "resident": [run.resident[:: max(1, len(run.resident) // 500)] for run in runs],
    }
    outcome.publish()


if __name__ == "__main__":
    main()
