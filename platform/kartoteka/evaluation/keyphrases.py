"""Evaluation of keyphrase predictions: one pass over the gold documents, one result per system."""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from kartoteka.evaluation.calibration import Calibration, calibrate
from kartoteka.evaluation.conventions import Convention
from kartoteka.evaluation.matching import CLASSES, Source, holds_placeholder, normalise_words
from kartoteka.evaluation.metrics import Phrases, Sample, count, metrics_of, phrases_of, sample
from kartoteka.evaluation.significance import Comparison, Interval, bootstrap, compare
from kartoteka.evaluation.tables import GoldDocument, Predictions
from kartoteka.evaluation.text_overlap import BertScore, rouge1

#: A list of the authors' keywords left inside the abstract makes every reference "present".
_KEYWORDS_LEFT = re.compile(r"(?i)\b(key\s?-?words|key\s?phrases|mots[- ]cl[ée]s|ключевые слова)\s*[:—]")


@dataclass(slots=True)
class _Collected:
    """What one pass gathers for one system: flat numbers, four per document and metric."""

    counts: list[array] = field(default_factory=list)
    rouge: array = field(default_factory=lambda: array("d"))
    texts: list[str] = field(default_factory=list)
    scores: array = field(default_factory=lambda: array("d"))
    right: array = field(default_factory=lambda: array("b"))
    unordered: int = 0
    missing: int = 0
    empty: int = 0
    duplicates: int = 0
    phrases: int = 0


@dataclass(frozen=True)
class System:
    """The result of one prediction file; `samples` are its metrics per document, in the order of `Evaluation.ids`.

    `missing` documents have no row, `empty` ones no phrase that counts; `unknown` rows have no document; `duplicates`
    are phrases dropped; `unordered` documents list a score before a higher one (the order of the file is the rank).
    """

    name: str
    samples: list[Sample]
    intervals: list[Interval]
    missing: int
    unknown: int
    empty: int
    duplicates: int
    phrases: int
    unordered: int
    scored: bool
    calibration: Calibration | None


@dataclass(frozen=True)
class Evaluation:
    """Predictions against gold under one convention.

    `classes`: macro share of each PRMU class among the references, mean over documents (as in Boudin & Gallina 2021).
    """

    convention: Convention
    ids: list[str]
    collections: list[str]
    unannotated: int
    references: int
    classes: dict[str, float]
    keywords_left: int
    bertscore: str
    resamples: int
    seed: int
    systems: list[System]
    comparison: list[Comparison]

    def as_dict(self) -> dict[str, Any]:
        """The whole result as plain values, without the per-document numbers."""
        return {
            "convention": asdict(self.convention) | {"text": self.convention.describe()},
            "documents": len(self.ids),
            "unannotated": self.unannotated,
            "references": self.references,
            "classes": self.classes,
            "keywords_left_in_abstracts": self.keywords_left,
            "bertscore": self.bertscore or None,
            "resamples": self.resamples,
            "seed": self.seed,
            "systems": [
                {
                    "name": system.name,
                    "metrics": [asdict(interval) for interval in system.intervals],
                    "missing": system.missing,
                    "unknown": system.unknown,
                    "empty": system.empty,
                    "duplicates": system.duplicates,
                    "phrases": system.phrases,
                    "unordered": system.unordered,
                    "calibration": asdict(system.calibration) if system.calibration else None,
                }
                for system in self.systems
            ],
            "comparison": [asdict(c) for c in self.comparison],
        }


def evaluate(
    gold: Iterable[GoldDocument],
    predictions: Sequence[Predictions],
    convention: Convention,
    *,
    bertscore: BertScore | None = None,
    resamples: int = 10_000,
    seed: int = 0,
    bins: int = 15,
) -> Evaluation:
    """Evaluate one system, or a second against the first, on the annotated documents of `gold`.

    A document without a prediction counts as one with an empty list. `bins`: of the calibration, which is computed
    where the scores are probabilities. Raises `ValueError` when no document has a reference.
    """
    metrics = metrics_of(convention)
    systems = [_Collected(counts=[array("i") for _ in metrics]) for _ in predictions]
    ids: list[str] = []
    collections: list[str] = []
    shares = dict.fromkeys(CLASSES, 0.0)
    targets: list[str] = []
    known = [0] * len(predictions)
    unannotated = references = keywords_left = 0
    for document in gold:
        rows = [p.get(document.id) for p in predictions]
        known = [n + (row is not None) for n, row in zip(known, rows, strict=True)]
        lang = document.lang
        digits = holds_placeholder(document.title, document.abstract, *document.keyphrases)
        title, abstract = (
            normalise_words(text, lang, convention.matching, digits) for text in (document.title, document.abstract)
        )
        source = Source.of(title, abstract, convention.source)
        wanted = phrases_of(document.keyphrases, source, lang, convention, reference=True, digits=digits)
        if not wanted.keys:
            unannotated += 1
            continue
        ids.append(document.id)
        collections.append(document.collection)
        references += len(wanted.keys)
        keywords_left += _KEYWORDS_LEFT.search(document.abstract) is not None
        for name in CLASSES:
            shares[name] += wanted.classes.count(name) / len(wanted.keys)
        if bertscore:
            targets.append(_joined(document.keyphrases, wanted, None))
        for system, row in zip(systems, rows, strict=True):
            given, scores = row or ([], None)
            found = phrases_of(given, source, lang, convention, reference=False, digits=digits)
            system.missing += row is None
            system.empty += row is not None and not found.keys
            system.duplicates += len(given) - len(found.keys)
            system.phrases += len(found.keys)
            for column, metric in zip(system.counts, metrics, strict=True):
                c = count(metric, found, wanted, convention)
                column.extend((c.matches, c.predicted, c.wanted, c.references))
            system.rouge.append(rouge1(" ".join(found.keys[: convention.text_cut]), " ".join(wanted.keys)))
            if bertscore:
                system.texts.append(_joined(given, found, convention.text_cut))
            if scores is not None:
                right = set(wanted.keys)
                system.scores.extend(scores[i] for i in found.kept)
                system.right.extend(key in right for key in found.keys)
                system.unordered += any(a < b for a, b in pairwise(scores))
    if not ids:
        raise ValueError("gold: no document has a keyphrase to compare with")
    results = []
    for system, given, seen in zip(systems, predictions, known, strict=True):
        samples = [sample(m, np.array(c), convention) for m, c in zip(metrics, system.counts, strict=True)]
        samples.append(_mean(f"ROUGE-1@{convention.text_cut}", np.array(system.rouge)))
        if bertscore:
            samples.append(_mean(f"BERTScore@{convention.text_cut}", bertscore.f1(system.texts, targets)))
        results.append(
            System(
                name=given.name,
                samples=samples,
                intervals=bootstrap(samples, resamples=resamples, seed=seed),
                missing=system.missing,
                unknown=len(given.rows) - seen,
                empty=system.empty,
                duplicates=system.duplicates,
                phrases=system.phrases,
                unordered=system.unordered,
                scored=given.scores is not None,
                calibration=_calibration(system, bins),
            )
        )
    comparison = []
    if len(results) == 2:
        comparison = compare(results[0].samples, results[1].samples, resamples=resamples, seed=seed)
    return Evaluation(
        convention=convention,
        ids=ids,
        collections=collections,
        unannotated=unannotated,
        references=references,
        classes={name: share / len(ids) for name, share in shares.items()},
        keywords_left=keywords_left,
        bertscore=bertscore.description if bertscore else "",
        resamples=resamples,
        seed=seed,
        systems=results,
        comparison=comparison,
    )


def _mean(name: str, values: np.ndarray) -> Sample:
    return Sample(name, np.stack([values, np.ones_like(values)], axis=1))


def _joined(given: Sequence[str], phrases: Phrases, limit: int | None) -> str:
    """Phrases as written, those that count, joined by commas: what BERTScore reads."""
    return ", ".join(given[i] for i in phrases.kept[:limit])


def _calibration(system: _Collected, bins: int) -> Calibration | None:
    scores = np.array(system.scores)
    if not len(scores) or not (scores.min() >= 0 and scores.max() <= 1):
        return None
    return calibrate(scores, np.array(system.right), bins)
