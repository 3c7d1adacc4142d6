"""A training of the classifier by n-grams from files to a directory, with its card and what it does on texts held out.

RUN/
  model/            the classifier, with its card README.md
  data/             validation and test texts, what was refused
  report.html       the test texts: scores, confusion, calibration, errors
  run.json          settings, data, figures, cost
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kartoteka.energy import EnergyMeter
from kartoteka.evaluation.classification import Evaluation, GoldTexts, Labels, evaluate
from kartoteka.folders import whole_folder
from kartoteka.report.classification import build
from kartoteka.sentiment.ngram_fit import Fitted, fit_ngrams
from kartoteka.sentiment.ngrams import open_ngrams, write_ngrams
from kartoteka.sentiment.settings import NgramSettings, SentimentSettings
from kartoteka.sentiment.split import (
    REFUSED,
    TEST,
    VALIDATION,
    apart,
    check_classes,
    gold_table,
    refused_table,
    validation_of,
)
from kartoteka.sentiment.texts import CLASSES, UNLABELLED, Texts, read_texts, without_copies
from kartoteka.storage import Storage
from kartoteka.training.modelcard import write_card

RUN, MODEL, REPORT = "run.json", "model", "report.html"
#: What the classifier is called in its report.
_NAME = "n-grams"


def train_ngrams(
    files: Sequence[str], settings: SentimentSettings, ngrams: NgramSettings, run: Storage, command: str
) -> dict[str, Any]:
    """Train, measure and write all of the run; returns what `run.json` says.

    Raises `ValueError`: the run exists; a file is empty or cannot be read; all texts are equal; a class has no text to
    learn from.
    """
    if run.exists(RUN):
        raise ValueError(f"run: {run.uri} exists; choose another path")
    run.check_writable()
    clock, cpu = time.monotonic(), time.process_time()
    with EnergyMeter() as meter:
        training, held, test, facts = _divided(run, files, settings, ngrams)
        fitted = fit_ngrams(training.texts, _labels(training), held.texts, _labels(held), ngrams, settings.seed)
    spent = time.process_time() - cpu
    energy = meter.energy(spent)
    about = {
        "state": "finished",
        "command": command,
        "task": {"name": "sentiment by n-grams", "files": [Path(name).name for name in files]}
        | settings.model_dump(include={"labels", "validation_share", "seed"}),
        "training": ngrams.model_dump(),
        "data": facts,
        "strength": fitted.strength,
        "temperature": round(fitted.temperature, 4),
        "validation_macro_f1": {f"{strength:g}": round(score, 4) for strength, score in fitted.macro_f1.items()},
        "measured": "test texts",
        "seconds": round(time.monotonic() - clock, 1),
        "cpu_seconds": round(spent, 1),
        "energy_wh": round(energy.wh, 4),
        "energy_how": energy.how,
        "workers": 1,
        "device": "cpu",
    }
    result = _export(run, fitted, test, about)
    run.put(REPORT, build(result, {}).encode())
    run.put_json(RUN, about)
    return about


def _divided(
    run: Storage, files: Sequence[str], settings: SentimentSettings, ngrams: NgramSettings
) -> tuple[Texts, Texts, Texts, dict[str, Any]]:
    """Training, validation and test texts, and counts of them; the latter two are written for a reader."""
    given = without_copies(read_texts(files, settings.labels))
    measured = apart(given, ngrams.test_share, f"test:{settings.seed}")
    rest = given.take(np.flatnonzero(~measured))
    held = validation_of(rest, settings.validation_share, settings.seed)
    rest.refused = given.refused  # an error about a class says why its texts are not there
    check_classes(rest, ~held)
    parts = [_labelled(rest, ~held), _labelled(rest, held), _labelled(given, measured)]
    run.put_table(VALIDATION, gold_table(parts[1]))
    run.put_table(TEST, gold_table(parts[2]))
    run.put_table(REFUSED, refused_table(given.refused))
    facts: dict[str, Any] = dict(zip(("training", "validation", "test"), map(len, parts), strict=True))
    counts = np.bincount(_labels(parts[0]), minlength=len(CLASSES)).tolist()
    facts |= {f"training_{name}": count for name, count in zip(CLASSES, counts, strict=True)}
    return *parts, facts | {"refused": given.reasons()}


def _labelled(texts: Texts, chosen: np.ndarray) -> Texts:
    return texts.take(np.flatnonzero(chosen & (_labels(texts) != UNLABELLED)))


def _labels(texts: Texts) -> np.ndarray:
    return np.array(texts.labels, np.int64)


def _export(run: Storage, fitted: Fitted, test: Texts, about: dict[str, Any]) -> Evaluation:
    """Write the classifier; measure, by the test texts, what was written, and put the figures into `about` and card."""
    with run.folder(MODEL, whole=True) as place, whole_folder(place) as folder:
        kept = ("task", "training", "data", "strength", "temperature", "validation_macro_f1")
        write_ngrams(folder, fitted.shape, fitted.parameters, {key: about[key] for key in kept})
        probabilities, _ = open_ngrams(folder, _NAME).classify(test.texts)
        gold = GoldTexts(CLASSES, test.ids, test.texts, test.sources, _labels(test))
        result = evaluate(gold, [Labels(_NAME, probabilities.argmax(axis=1), probabilities.astype(float))])
        about["best"] = _figures(result)
        write_card(folder, _card(about), about)
    return result


def _figures(result: Evaluation) -> dict[str, float]:
    """The test figures by name."""
    system = result.systems[0]
    assert system.calibration is not None, "the classifier gives probabilities"
    macro, right = system.intervals
    figures = {"macro_f1": macro.value, "macro_f1_low": macro.low, "macro_f1_high": macro.high, "accuracy": right.value}
    figures |= {f"f1_{row['class']}": row["f1"] for row in system.by_class}
    figures |= {f"macro_f1 of {name or 'no source'}": score for name, (_, score, _) in system.by_source.items()}
    return figures | {"calibration_error": system.calibration.ece_equal_mass}


def _card(about: dict[str, Any]) -> dict[str, Any]:
    """As `Task.card` describes it."""
    return {
        "title": "Sentiment of short texts, three classes (hashed n-grams)",
        "base": "nothing: hashed words, pairs of words and runs of characters, weighed by a logistic regression",
        "data": [f"{', '.join(about['task']['files'])}, without copies"],
        "intended": (
            "negative, neutral or positive, with a probability, for a short text of the kinds it was trained on. "
            "`kartoteka.sentiment.classify.open_classifier` loads it; `kartoteka reindex --classifier` takes it."
        ),
        "limits": (
            "It knows words and characters, not sentences: irony, negation far from its verb, mixed feelings and "
            "sentiment toward one of several things named are beyond it, and so are words it has not seen. "
            "Probabilities are calibrated on validation texts of the same sources; on texts of another kind they are "
            "too sure. What may be done with it is for the licences of its data to say."
        ),
        "license": "other",
        "languages": ["ru"],
    }
