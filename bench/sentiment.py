"""Sentiment in three steps, base, pseudo-labels and final, beside TF-IDF with logistic regression, over several seeds.

    python -m bench.sentiment --gold FILE --texts FILE ... [--seeds N] [--gold-texts N] [--lambdas X ...]

--gold: texts whose labels are learned from; a fifth of them, by the hash of their first words, is held out and only
measured on. --texts: other sources, whose own labels are hidden from all that is trained and used to tell how many of
the accepted pseudo-labels are right. All models of a seed start from one small encoder made of the same texts. λ, the
weight of the metric loss, is swept with the first seed, and the best on its validation texts is kept for the others.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from rich.console import Console

from bench.tables import Check, Outcome
from jobs.config import SentimentConfig
from jobs.pseudolabel import run as pseudolabel
from kartoteka import cluster
from kartoteka.evaluation.classification import GoldTexts, MacroF1, mcnemar, samples
from kartoteka.evaluation.confusion import macro_f1
from kartoteka.evaluation.significance import Interval, bootstrap, compare
from kartoteka.sentiment.classify import open_classifier
from kartoteka.sentiment.ngram_fit import fit_ngrams
from kartoteka.sentiment.ngrams import NgramClassifier
from kartoteka.sentiment.split import validation_of
from kartoteka.sentiment.task import SentimentTask
from kartoteka.sentiment.texts import CLASSES, UNLABELLED, Texts, held_out, read_texts, side_keys, without_copies
from kartoteka.storage import Storage
from kartoteka.training.run import train

RECIPE = Path(__file__).with_name("sentiment.toml")
TEST_SHARE = 0.2
RESAMPLES = 5_000
#: Points of macro-F1 that the final step gains, and the precision of accepted pseudo-labels.
GAIN, PRECISION = 1.5, 0.92


@dataclass(frozen=True)
class World:
    """What is learned from, what is measured on, and texts with labels that nobody is shown.

    `posts`: of the source that is learned from; `others`: of other sources.
    """

    train: Texts
    test: GoldTexts
    posts: Texts
    others: Texts


def divide(options: argparse.Namespace, labels: dict[str, str]) -> World:
    gold = without_copies(read_texts([options.gold], labels))
    sides = side_keys(gold.texts)
    measured = held_out(sides, TEST_SHARE, "bench")
    known = np.array(gold.labels) != UNLABELLED
    test = gold.take(np.flatnonzero(measured & known))
    learned = np.flatnonzero(~measured & known)
    if options.gold_texts:
        learned = np.sort(np.random.default_rng(0).permutation(learned)[: options.gold_texts])
    others = without_copies(read_texts(options.texts, labels))
    free = ~np.isin(side_keys(others.texts), sides[measured])
    rows = np.flatnonzero(free)
    if options.other_texts:
        rows = np.sort(np.random.default_rng(0).permutation(rows)[: options.other_texts])
    told = GoldTexts(CLASSES, test.ids, test.texts, test.sources, np.array(test.labels, np.int64))
    posts = gold.take(np.setdiff1d(np.flatnonzero(~np.isin(sides, sides[measured])), learned))
    return World(gold.take(learned), told, posts, others.take(rows))


def write(file: Path, texts: Texts, *, hidden: bool) -> str:
    with file.open("w", encoding="utf-8") as out:
        for name, text, label, source in zip(texts.ids, texts.texts, texts.labels, texts.sources, strict=True):
            row = {"id": name, "text": text, "source": source, "label": None if hidden else CLASSES[label]}
            out.write(json.dumps(row, ensure_ascii=False) + "\n")
    return str(file)


def simple_model() -> Any:
    """Logistic regression over TF-IDF of words, word pairs and 2 to 5 characters: a pipeline of scikit-learn."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline, make_union

    features = make_union(
        TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True),
        TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), min_df=2, sublinear_tf=True),
    )
    return make_pipeline(features, LogisticRegression(C=3, class_weight="balanced", max_iter=300))


def baseline(world: World) -> np.ndarray:
    """Labels of the test texts by the simple model."""
    return simple_model().fit(world.train.texts, world.train.labels).predict(world.test.texts)


def by_ngrams(world: World, config: SentimentConfig) -> np.ndarray:
    """Labels of the test texts by the classifier of `train sentiment-ngrams`, validated as the transformers are."""
    settings, labels = config.sentiment, np.array(world.train.labels)
    held = validation_of(world.train, settings.validation_share, settings.seed)
    learned, asked = (world.train.take(np.flatnonzero(rows)).texts for rows in (~held, held))
    found = fit_ngrams(learned, labels[~held], asked, labels[held], config.ngrams, settings.seed)
    return NgramClassifier(found.shape, found.parameters, {}).classify(world.test.texts)[0].argmax(axis=1)


def learn(task: SentimentTask, config: SentimentConfig, seed: int, folder: Path) -> dict[str, Any]:
    training = config.training.model_copy(update={"seed": seed})
    run = Storage(folder)
    return train(task, training, config.workers, run, Console(quiet=True), resume=False, command="bench.sentiment")


def labels_of(folder: Path, world: World) -> np.ndarray:
    return open_classifier(str(folder / "model"), "cpu").classify(world.test.texts)[0].argmax(axis=1)


def steps(
    world: World, files: tuple[str, ...], config: SentimentConfig, seed: int, lambdas: Sequence[float], folder: Path
) -> dict[str, Any]:
    """One seed: labels of the test texts by the base and by the final of each λ; what the thresholds let through."""
    settings = config.sentiment.model_copy(update={"seed": seed})
    base = learn(SentimentTask(files, None, None, settings), config, seed, folder / "base")
    pseudo = folder / "pseudo.parquet"
    pseudolabel(str(folder / "base/model"), list(files), pseudo, config, config.pseudolabels.model_dump(), "cpu", 1)
    finals = {}
    for weight in lambdas:
        chosen = settings.model_copy(update={"metric_weight": weight})
        place = folder / f"final-{weight:g}"
        about = learn(SentimentTask(files, None, str(pseudo), chosen), config, seed, place)
        finals[weight] = {"validation": about["best"]["macro_f1"], "labels": labels_of(place, world)}
        print(f"seed {seed}, final with λ {weight:g}: validation {about['best']['macro_f1']:.4f}", flush=True)
    return {
        "base": labels_of(folder / "base", world),
        "base_validation": base["best"]["macro_f1"],
        "finals": finals,
        "accepted": accepted(pseudo, world.others),
        "pseudolabelled": about["data"]["pseudolabelled"],
    }


def accepted(pseudo: Path, others: Texts) -> list[dict[str, Any]]:
    """For each source and all: precision of what both thresholds accept, and of as many that the base is surest of."""
    hidden = dict(zip(others.ids, others.labels, strict=True))
    rows = [row for row in pq.read_table(pseudo).to_pylist() if not row["gold"]]
    rows = [row for row in rows if hidden.get(row["id"], UNLABELLED) != UNLABELLED]
    right = np.array([CLASSES[hidden[row["id"]]] == row["label"] for row in rows])
    reliable = np.array([row["reliable"] for row in rows])
    sure = np.array([row["probability"] for row in rows])
    source = np.array([row["source"] for row in rows])
    found = []
    for name in [*np.unique(source).tolist(), "all"]:
        mine = np.ones(len(rows), bool) if name == "all" else source == name
        count = int((mine & reliable).sum())
        surest = np.flatnonzero(mine)[np.argsort(-sure[mine], kind="stable")[:count]]
        found.append(
            {
                "source": name, "texts": int(mine.sum()), "accepted": count, "all": float(right[mine].mean()),
                "precision": float(right[mine & reliable].mean()) if count else None,
                "base_at_equal_coverage": float(right[surest].mean()) if count else None,
            }
        )  # fmt: skip
    return found


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


def report(
    outcome: Outcome, world: World, fixed: dict[str, np.ndarray], seeds: list[dict[str, Any]], weight: float
) -> None:
    """The tables: systems, differences, λ, pseudo-labels; and the checks."""
    systems = {
        **{name: [labels] * len(seeds) for name, labels in fixed.items()},  # they draw nothing: all seeds are the same
        "base": [seed["base"] for seed in seeds],
        "final": [seed["finals"][weight]["labels"] for seed in seeds],
    }
    measured = {name: over_seeds(world.test, labels) for name, labels in systems.items()}
    intervals = dict(zip(systems, bootstrap(list(measured.values()), resamples=RESAMPLES), strict=True))
    rows = []
    for name, labels in systems.items():
        each = ", ".join(f"{100 * over_seeds(world.test, [own]).value:.1f}" for own in labels)
        right = np.mean([np.mean(own == world.test.labels) for own in labels])
        rows.append([name, shown(intervals[name]), each, f"{100 * right:.1f}"])
    outcome.table("Macro-F1 on texts held out, %", ["", "mean over seeds", "each seed", "accuracy"], rows)
    pairs = [("base", "final"), *((name, step) for name in fixed for step in ("base", "final"))]
    rows, gains = [], {}
    for one, two in pairs:
        gains[one, two] = difference = compare([measured[one]], [measured[two]], resamples=RESAMPLES)[0]
        test = mcnemar(systems[one][0] == world.test.labels, systems[two][0] == world.test.labels)
        text = f"{100 * difference.difference:+.1f} [{100 * difference.low:+.1f}, {100 * difference.high:+.1f}]"
        rows.append([f"{two} less {one}", text, f"{difference.p:.4f}", f"{test.p:.4f}"])
    outcome.table("Differences", ["", "macro-F1", "p", "McNemar p, first seed"], rows)
    rows = [
        [f"{w:g}", f"{100 * found['validation']:.1f}", f"{100 * over_seeds(world.test, [found['labels']]).value:.1f}"]
        for w, found in seeds[0]["finals"].items()
    ]
    outcome.table("λ of the metric loss, first seed, macro-F1, %", ["λ", "validation", "held out"], rows)
    accepted_table(outcome, seeds)
    gain, total = gains["base", "final"], seeds[0]["accepted"][-1]
    precision = "none accepted" if total["precision"] is None else f"{total['precision']:.3f}"
    outcome.checks += [
        Check(
            "final over base, points of macro-F1", f">= +{GAIN:g}",
            f"{100 * gain.difference:+.1f} [{100 * gain.low:+.1f}, {100 * gain.high:+.1f}]",
            100 * gain.difference >= GAIN and gain.low > 0,
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
        ]
        for number, seed in enumerate(seeds)
        for row in seed["accepted"]
    ]  # fmt: skip
    header = ["source", "seed", "texts", "accepted", "precision", "base, equal coverage", "base, all"]
    outcome.table("Pseudo-labels that pass both thresholds, on hidden gold labels", header, rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gold")
    parser.add_argument("--texts", nargs="+")
    parser.add_argument("--config", default=str(RECIPE))
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--lambdas", type=float, nargs="+", default=[0.0, 0.2, 0.5])
    parser.add_argument("--gold-texts", type=int, help="learn from so many gold texts only")
    parser.add_argument("--other-texts", type=int, help="take so many of the other texts only")
    options = parser.parse_args()

    outcome = Outcome("sentiment", "Sentiment: base, pseudo-labels of pure clusters, final")
    if not (options.gold and options.texts):
        outcome.notes.append("not run: it needs labelled texts, python -m bench.sentiment --gold FILE --texts FILE ...")
        outcome.publish()
        return
    config = SentimentConfig.from_toml(options.config)
    world = divide(options, config.sentiment.labels)
    fixed = {"TF-IDF + logistic regression": baseline(world), "n-grams": by_ngrams(world, config)}
    for name, labels in fixed.items():
        print(f"{name}: {100 * over_seeds(world.test, [labels]).value:.1f}", flush=True)
    with tempfile.TemporaryDirectory(prefix="kartoteka-bench-") as name, cluster.connected(None):
        folder = Path(name)
        files = (
            write(folder / "gold.jsonl", world.train, hidden=False),
            write(folder / "others.jsonl", world.others, hidden=True),
        )
        seeds = [steps(world, files, config, 0, options.lambdas, folder / "0")]
        best = max(options.lambdas, key=lambda weight: seeds[0]["finals"][weight]["validation"])
        seeds += [steps(world, files, config, seed, [best], folder / str(seed)) for seed in range(1, options.seeds)]
    outcome.notes += [
        f"{len(world.train):,} labelled texts to learn from (a tenth of them for validation), {len(world.test.ids):,} "
        f"held out; {len(world.others):,} texts of other sources with their labels hidden",
        f"pseudo-labelled texts that the final step learned from: {', '.join(str(s['pseudolabelled']) for s in seeds)}",
        f"{options.seeds} seeds; λ {best:g}; intervals over texts, {RESAMPLES:,} resamples of the seeds' mean",
        "thresholds: purity {purity:g}, probability {probability:g}".format(**config.pseudolabels.model_dump()),
    ]
    report(outcome, world, fixed, seeds, best)
    outcome.values = {"seeds": [seed["accepted"] for seed in seeds], "config": config.model_dump(mode="json")}
    outcome.publish()


if __name__ == "__main__":
    main()
