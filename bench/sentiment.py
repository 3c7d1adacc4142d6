"""Sentiment step by step, each beside the one before and beside TF-IDF with logistic regression, over several seeds.

    python -m bench.sentiment --gold FILE --texts FILE ... [--gold-texts N] [--seeds N] [--lambdas X ...] [--work DIR]

--gold: texts of which --gold-texts are learned from with their labels; a fifth, by the hash of their first words, is
held out and only measured on; the rest (the posts) have their labels hidden. --texts: other sources, whose labels are
hidden from all that is trained and used to tell how many of the accepted pseudo-labels are right.

Steps: the encoder, by masked-language modelling on all texts but those held out; the base from it, and with --fresh one
from an encoder that has read nothing; pseudo-labels on which base and n-grams agree; the final, from the pseudo-labels
of the other sources alone, and from those of the posts too; beside them a base of as many steps. λ, the weight of the
metric loss, is swept with the first seed, and the best on its validation texts is kept for the others. --work keeps
the runs, and a bench that was stopped goes on from them.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.sentiment_steps import ALL, OTHERS, Bench, pretrain, steps
from bench.sentiment_world import RECIPE, World, baseline, divide, write
from bench.tables import Check, Outcome
from jobs.config import SentimentConfig, TrainMlmConfig
from kartoteka import cluster
from kartoteka.evaluation.classification import GoldTexts, MacroF1, mcnemar, samples
from kartoteka.evaluation.confusion import macro_f1
from kartoteka.evaluation.significance import Interval, bootstrap, compare
from kartoteka.sentiment.texts import CLASSES

MLM = Path(__file__).with_name("mlm.toml")
RESAMPLES = 5_000
#: Points of macro-F1 that the final step gains, and the precision of accepted pseudo-labels.
GAIN, PRECISION = 1.5, 0.92


@dataclass(frozen=True, slots=True)
class MeanMacroF1(MacroF1):
    """The mean over seeds of macro-F1: `columns` [n, seeds * c * c]."""

    def estimate(self, sums: np.ndarray) -> np.ndarray:
        size = len(CLASSES)
        return macro_f1(sums.reshape(*sums.shape[:-1], -1, size, size)).mean(axis=-1)


def over_seeds(gold: GoldTexts, labels: Sequence[np.ndarray]) -> MeanMacroF1:
    return MeanMacroF1("macro-F1", np.concatenate([samples(gold, own)[0].columns for own in labels], axis=1))


def shown(interval: Interval) -> str:
    return f"{100 * interval.value:.1f} [{100 * interval.low:.1f}, {100 * interval.high:.1f}]"


def report(outcome: Outcome, world: World, simple: np.ndarray, seeds: list[dict[str, Any]], weight: float) -> None:
    """The tables: systems, differences, λ, pseudo-labels; and the checks."""
    simple_name, ngrams, fresh, base = "TF-IDF + logistic regression", "n-grams", "base, fresh encoder", "base"
    longer = "base, as many steps as the final"
    others, final = f"final, {OTHERS}", f"final, {ALL}"
    systems = {
        simple_name: [simple] * len(seeds),  # it draws nothing: all seeds are the same
        **{
            name: [seed[key] for seed in seeds]
            for name, key in ((ngrams, ngrams), (fresh, "fresh"), (base, base), (longer, "longer"))
        },
        **{f"final, {kind}": [seed["finals"][kind, weight]["labels"] for seed in seeds] for kind in (OTHERS, ALL)},
    }
    systems = {name: labels for name, labels in systems.items() if labels[0] is not None}
    measured = {name: over_seeds(world.test, labels) for name, labels in systems.items()}
    intervals = dict(zip(systems, bootstrap(list(measured.values()), resamples=RESAMPLES), strict=True))
    rows = []
    for name, labels in systems.items():
        each = ", ".join(f"{100 * over_seeds(world.test, [own]).value:.1f}" for own in labels)
        right = np.mean([np.mean(own == world.test.labels) for own in labels])
        rows.append([name, shown(intervals[name]), each, f"{100 * right:.1f}"])
    outcome.table("Macro-F1 on texts held out, %", ["", "mean over seeds", "each seed", "accuracy"], rows)
    pairs = [(fresh, base)] * (fresh in systems) + [(base, others), (longer, others), (base, final), (others, final)]
    pairs += [(name, step) for name in (simple_name, ngrams) for step in (base, others, final)]
    rows, gains = [], {}
    for one, two in pairs:
        gains[one, two] = difference = compare([measured[one]], [measured[two]], resamples=RESAMPLES)[0]
        test = mcnemar(systems[one][0] == world.test.labels, systems[two][0] == world.test.labels)
        text = f"{100 * difference.difference:+.1f} [{100 * difference.low:+.1f}, {100 * difference.high:+.1f}]"
        rows.append([f"{two} less {one}", text, f"{difference.p:.4f}", f"{test.p:.4f}"])
    outcome.table("Differences", ["", "macro-F1", "p", "McNemar p, first seed"], rows)
    rows = [
        [kind, f"{w:g}", f"{100 * own['validation']:.1f}", f"{100 * over_seeds(world.test, [own['labels']]).value:.1f}"]
        for (kind, w), own in seeds[0]["finals"].items()
    ]
    header = ["pseudo-labels of", "λ", "validation", "held out"]
    outcome.table("λ of the metric loss, first seed, macro-F1, %", header, rows)
    accepted_table(outcome, seeds)
    total = seeds[0]["accepted"][-1]
    precision = "none accepted" if total["precision"] is None else f"{total['precision']:.3f}"
    outcome.checks += [
        *(
            Check(
                f"{step} over base, points of macro-F1", f">= +{GAIN:g}",
                f"{100 * gain.difference:+.1f} [{100 * gain.low:+.1f}, {100 * gain.high:+.1f}]",
                100 * gain.difference >= GAIN and gain.low > 0,
            )
            for step, gain in ((step, gains[base, step]) for step in (others, final))
        ),
        Check(
            "precision of accepted pseudo-labels, hidden gold, first seed", f">= {PRECISION:g}", precision,
            (total["precision"] or 0) >= PRECISION,
        ),
    ]  # fmt: skip


def accepted_table(outcome: Outcome, seeds: list[dict[str, Any]]) -> None:
    def share(value: float | None) -> str:
        return "–" if value is None else f"{value:.3f}"

    rows = [
        [
            row["source"], str(number), f"{row['texts']:,}", f"{row['accepted']:,}", share(row["precision"]),
            share(row["base_at_equal_coverage"]), share(row["all"]),
            ", ".join(f"{gold} as {said} {count:,}" for gold, said, count in sorted(row["confused"], key=_count)[:2]),
        ]
        for number, seed in enumerate(seeds)
        for row in seed["accepted"]
    ]  # fmt: skip
    header = [
        "source",
        "seed",
        "texts",
        "accepted",
        "precision",
        "base, equal coverage",
        "base, all",
        "most often wrong",
    ]
    outcome.table("Pseudo-labels that pass both thresholds, on hidden gold labels", header, rows)


def _count(pair: tuple[str, str, int]) -> int:
    return -pair[2]


def _learned(seeds: list[dict[str, Any]], kind: str, weight: float) -> str:
    finals = [seed["finals"][kind, weight] for seed in seeds]
    texts, steps_made = (", ".join(str(own[name]) for own in finals) for name in ("pseudolabelled", "steps"))
    return f"{texts} texts with pseudo-labels, {steps_made} steps"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gold")
    parser.add_argument("--texts", nargs="+")
    parser.add_argument("--config", default=str(RECIPE))
    parser.add_argument("--mlm", default=str(MLM), help="settings of the encoder")
    parser.add_argument("--work", help="folder that keeps the runs")
    parser.add_argument("--fresh", action="store_true", help="train a base from a fresh encoder, too")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--lambdas", type=float, nargs="+", default=[0.0, 0.2, 0.5])
    parser.add_argument("--gold-texts", type=int, help="learn from so many gold texts only")
    parser.add_argument("--other-texts", type=int, help="take so many of the other texts only")
    options = parser.parse_args()

    outcome = Outcome("sentiment", "Sentiment: encoder, base, pseudo-labels of pure clusters, final")
    if not (options.gold and options.texts):
        outcome.notes.append("not run: it needs labelled texts, python -m bench.sentiment --gold FILE --texts FILE ...")
        outcome.publish()
        return
    config = SentimentConfig.from_toml(options.config)
    world = divide(options, config.sentiment.labels)
    simple = baseline(world)
    print(f"TF-IDF + logistic regression: {100 * over_seeds(world.test, [simple]).value:.1f}", flush=True)
    with tempfile.TemporaryDirectory(prefix="kartoteka-bench-") as name, cluster.connected(None):
        folder = Path(options.work or name).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        files = tuple(
            write(folder / f"{part}.jsonl", texts, hidden=part != "gold")
            for part, texts in (("gold", world.train), ("posts", world.posts), ("others", world.others))
        )
        encoder, read = pretrain(files, TrainMlmConfig.from_toml(options.mlm), folder / "mlm")
        bench = Bench(world, files, config, encoder)
        seeds = [steps(bench, 0, options.lambdas, folder / "0", fresh=options.fresh)]
        tried = seeds[0]["finals"]
        best = max(options.lambdas, key=lambda weight: sum(tried[kind, weight]["validation"] for kind in (OTHERS, ALL)))
        seeds += [
            steps(bench, seed, [best], folder / str(seed), fresh=options.fresh) for seed in range(1, options.seeds)
        ]
    outcome.notes += [
        f"{len(world.train):,} labelled texts to learn from (a tenth of them for validation), {len(world.test.ids):,} "
        f"held out; with their labels hidden {len(world.posts):,} posts, {len(world.others):,} texts of other sources",
        f"encoder: {read['steps']:,} steps, {read['seconds'] / 60:.0f} minutes; {read['best']['accuracy']:.3f} of the "
        f"hidden tokens told, {read['best']['nll']:.2f} nats lost on one",
        f"steps of the base: {', '.join(str(seed['base_steps']) for seed in seeds)}",
        *(f"final, {kind}: {_learned(seeds, kind, best)}" for kind in (OTHERS, ALL)),
        f"{options.seeds} seeds; λ {best:g}; intervals over texts, {RESAMPLES:,} resamples of the seeds' mean",
        "thresholds of what is learned: purity {purity:g}, probability {probability:g}".format(
            **config.pseudolabels.model_dump()
        ),
    ]
    report(outcome, world, simple, seeds, best)
    outcome.values = {"seeds": [seed["accepted"] for seed in seeds], "config": config.model_dump(mode="json")}
    outcome.publish()


if __name__ == "__main__":
    main()
