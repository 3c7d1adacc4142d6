"""Two runs of `kartoteka train ranker` that differ in a setting, on the validation documents that both left alone.

    python -m bench.ablation RUN OTHER

Run by run: train with `ranker.masked = true` and `false`, all else equal, then compare. Only what
the vectors do is compared: cosine alone ranks the phrases of the BM25 neighbours; differences are paired by document.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from bench.tables import Outcome
from kartoteka.evaluation.metrics import Sample
from kartoteka.evaluation.significance import bootstrap, compare
from kartoteka.ranking.data import open_arrays
from kartoteka.ranking.directory import ENCODER
from kartoteka.ranking.module import RankerModule
from kartoteka.ranking.settings import RankerSettings
from kartoteka.ranking.validation import FIGURES, encoded, figures_of
from kartoteka.storage import Storage
from kartoteka.training.task import Share, data_of

RESAMPLES = 10_000


def measured(place: str) -> tuple[list[Sample], dict]:
    """The figures of a run's best weights, document by document, and its `run.json`."""
    run = Storage(place)
    about = run.get_json("run.json")
    settings = RankerSettings.model_validate(about["task"]["settings"]).model_copy(update={"span_weight": 0.0})
    arrays = open_arrays(data_of(run).uri)
    module = RankerModule(Path(run.local("model"), ENCODER), settings).eval()
    share = Share(0, 1, settings.seed)
    found = figures_of(arrays, module, share, encoded(arrays, module, share))
    ones = np.ones(len(found))
    return [Sample(name, np.stack([found[:, i], ones], axis=1)) for i, name in enumerate(FIGURES)], about


def differing(first: dict, second: dict, prefix: str = "") -> list[str]:
    """The settings in which two runs differ, as `name: a / b`."""
    found = []
    for name in sorted(first.keys() | second.keys()):
        a, b = first.get(name), second.get(name)
        if isinstance(a, dict) and isinstance(b, dict):
            found += differing(a, b, f"{prefix}{name}.")
        elif a != b:
            found.append(f"{prefix}{name}: {a} / {b}")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run")
    parser.add_argument("other")
    options = parser.parse_args()
    (first, about), (second, about_other) = measured(options.run), measured(options.other)
    outcome = Outcome("ablation", "Two ways to train the ranker")
    settings = differing(about["task"]["settings"], about_other["task"]["settings"])
    outcome.notes += [
        f"they differ in {'; '.join(settings) or 'no setting of the ranker'}",
        f"{about['data']['training']:,} training and {about['data']['validation']:,} validation documents; "
        f"{RESAMPLES:,} resamples, 95 % intervals, paired by document",
    ]
    rows = []
    both = zip(
        bootstrap(first, resamples=RESAMPLES),
        bootstrap(second, resamples=RESAMPLES),
        compare(second, first, resamples=RESAMPLES),
        strict=True,
    )
    for one, other, change in both:
        cells = [f"{100 * i.value:.1f} [{100 * i.low:.1f}, {100 * i.high:.1f}]" for i in (one, other)]
        difference = f"{100 * change.difference:+.1f} [{100 * change.low:+.1f}, {100 * change.high:+.1f}]"
        rows.append([one.name, *cells, difference, f"{change.p:.3f}"])
    outcome.table("In percent", ["", "first", "second", "first - second", "p"], rows)
    outcome.values = {"first": about, "second": about_other}
    outcome.publish()


if __name__ == "__main__":
    main()
