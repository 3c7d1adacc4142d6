"""The sentiment classifier that ships, beside scikit-learn's TF-IDF with logistic regression trained on the same texts.

    python -m bench.sentiment_ngrams --data FILE ... [--others FILE ...] [--config FILE] [--out RUN]

--data: the labelled texts that `kartoteka train sentiment-ngrams` divides into training, validation and test texts; the
peer is trained on the same training texts. --others: sources that neither has seen; all their labelled texts are
measured on. Macro-F1 with bootstrap intervals over texts, F1 of each class, and the equal-mass calibration error.
--out keeps the run (default: a temporary folder).
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from bench.processes import cpu
from bench.sentiment import RESAMPLES, shown
from bench.sentiment_world import RECIPE, simple_model
from bench.tables import Check, Outcome
from jobs.config import SentimentConfig
from kartoteka.evaluation.classification import Evaluation, GoldTexts, Labels, evaluate
from kartoteka.sentiment.classify import DEFAULT_CLASSIFIER, Classifier, identity_of, open_classifier
from kartoteka.sentiment.ngram_run import MODEL, train_ngrams
from kartoteka.sentiment.ngrams import WEIGHTS
from kartoteka.sentiment.split import TEST, VALIDATION
from kartoteka.sentiment.texts import CLASSES, UNLABELLED, Texts, read_texts, side_keys, without_copies
from kartoteka.storage import Storage

OURS, PEER = "n-grams", "TF-IDF + logistic regression"


def gold_of(texts: Texts) -> GoldTexts:
    """The labelled ones."""
    own = texts.take(np.flatnonzero(np.array(texts.labels) != UNLABELLED))
    return GoldTexts(CLASSES, own.ids, own.texts, own.sources, np.array(own.labels, np.int64))


def divide(run: Storage, options: argparse.Namespace, labels: dict[str, str]) -> tuple[GoldTexts, dict[str, GoldTexts]]:
    """What the run learned from, and what is measured on: its test texts, and each source of the others."""
    held = read_texts([run.path(VALIDATION), run.path(TEST)], {})
    sides = side_keys(held.texts)
    given = without_copies(read_texts(options.data, labels))
    learned = gold_of(given.take(np.flatnonzero(~np.isin(side_keys(given.texts), sides))))
    found = {"held out": gold_of(read_texts([run.path(TEST)], {}))}
    for file in options.others:
        others = without_copies(read_texts([file], labels))
        fresh = np.flatnonzero(~np.isin(side_keys(others.texts), side_keys(learned.texts)))
        told = gold_of(others.take(fresh))
        for source in sorted(set(told.sources)):
            found[source] = pick(told, [i for i, name in enumerate(told.sources) if name == source])
    test = found["held out"]
    for source in sorted(set(test.sources)):
        found[f"held out of {source}"] = pick(test, [i for i, name in enumerate(test.sources) if name == source])
    return learned, found


def pick(gold: GoldTexts, rows: list[int]) -> GoldTexts:
    columns = ([column[i] for i in rows] for column in (gold.ids, gold.texts, gold.sources))
    return GoldTexts(gold.classes, *columns, gold.labels[rows])


def measure(gold: GoldTexts, ours: Classifier, peer: Any) -> Evaluation:
    """The peer, and the n-grams compared with it."""
    systems = [
        Labels(name, probabilities.argmax(axis=1), probabilities.astype(float))
        for name, probabilities in ((PEER, peer.predict_proba(gold.texts)), (OURS, ours.classify(gold.texts)[0]))
    ]
    return evaluate(gold, systems, resamples=RESAMPLES)


def majority(gold: GoldTexts, learned: GoldTexts) -> float:
    """Macro-F1 of giving every text the most frequent class of the training texts."""
    most = int(np.bincount(learned.labels).argmax())
    labels = np.full(len(gold.labels), most)
    return evaluate(gold, [Labels("majority", labels, None)], resamples=100).systems[0].intervals[0].value


def report(outcome: Outcome, results: dict[str, Evaluation], simple: dict[str, float]) -> None:
    rows = []
    for place, result in results.items():
        for system in result.systems:
            scores = [f"{100 * row['f1']:.1f}" for row in system.by_class]
            assert system.calibration is not None
            error = f"{system.calibration.ece_equal_mass:.3f}"
            rows.append([place, f"{result.texts:,}", system.name, shown(system.intervals[0]), *scores, error])
        rows.append([place, f"{result.texts:,}", "the most frequent class", f"{100 * simple[place]:.1f}", *[""] * 4])
    header = ["", "texts", "classifier", "macro-F1, %", *(f"F1 {name}" for name in CLASSES), "calibration error"]
    outcome.table("Macro-F1 and F1 of each class", header, rows)
    rows = []
    for place, result in results.items():
        assert result.mcnemar is not None
        gain = result.comparison[0]
        text = f"{100 * gain.difference:+.1f} [{100 * gain.low:+.1f}, {100 * gain.high:+.1f}]"
        rows.append([place, text, f"{gain.p:.4f}", f"{result.mcnemar.p:.4f}"])
    outcome.table(f"{OURS} less {PEER}, points of macro-F1", ["", "difference", "p", "McNemar p"], rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+")
    parser.add_argument("--others", nargs="+", default=[])
    parser.add_argument("--config", default=str(RECIPE))
    parser.add_argument("--out")
    options = parser.parse_args()

    outcome = Outcome("sentiment_ngrams", "Sentiment by n-grams, beside TF-IDF with logistic regression")
    if not options.data:
        outcome.notes.append("not run: it needs labelled texts, python -m bench.sentiment_ngrams --data FILE ...")
        outcome.publish()
        return
    config = SentimentConfig.from_toml(options.config)
    with tempfile.TemporaryDirectory(prefix="kartoteka-bench-") as name:
        run = Storage(options.out or Path(name) / "run")
        about = train_ngrams(options.data, config.sentiment, config.ngrams, run, "bench.sentiment_ngrams")
        ours = open_classifier(run.path(MODEL), "cpu")
        learned, places = divide(run, options, config.sentiment.labels)
        assert len(learned.ids) == about["data"]["training"], "both learn from the same texts"
        peer = simple_model().fit(learned.texts, learned.labels)
        results = {place: measure(gold, ours, peer) for place, gold in places.items()}
        everything = [text for gold in places.values() for text in gold.texts]
        rates = [len(everything) / cpu(lambda by=by: by(everything))[0] for by in (peer.predict_proba, ours.classify)]
        size = (Path(run.path(MODEL)) / WEIGHTS).stat().st_size
        shipped = identity_of(DEFAULT_CLASSIFIER)["sha256"] == ours.identity["sha256"]
    report(outcome, results, {place: majority(gold, learned) for place, gold in places.items()})
    outcome.notes += [
        f"{len(learned.ids):,} texts learned from, {about['data']['validation']:,} for validation, which chose C = "
        f"{about['strength']:g} and the temperature {about['temperature']:g}",
        f"texts a CPU-second: {PEER} {rates[0]:,.0f}, {OURS} {rates[1]:,.0f}; weights {size / 1e6:.1f} MB",
        f"the weights are {'' if shipped else 'not '}those of `{DEFAULT_CLASSIFIER}`, bit for bit",
    ]
    gain = results["held out"].comparison[0]
    outcome.checks += [
        Check(
            f"{OURS} less {PEER}, held out, points of macro-F1", ">= 0",
            f"{100 * gain.difference:+.1f} [{100 * gain.low:+.1f}, {100 * gain.high:+.1f}]", gain.difference >= 0,
        ),
        Check("short texts a CPU-second", ">= 20,000", f"{rates[1]:,.0f}", rates[1] >= 20_000),
        Check("weights, MB", "<= 20", f"{size / 1e6:.1f}", size <= 20e6),
    ]  # fmt: skip
    outcome.publish()


if __name__ == "__main__":
    main()
