"""How well a generator does on the held-out documents, in the terms of `kartoteka.evaluation`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from kartoteka.evaluation.conventions import PRESETS, Convention
from kartoteka.evaluation.matching import Source, normalise_words
from kartoteka.evaluation.metrics import METRICS, count, phrases_of, sample
from kartoteka.training.task import Part

#: The house convention; see `kartoteka.evaluation.conventions`.
CONVENTION: Convention = PRESETS["mean-f1"]
#: Metric of the evaluation -> the name of a training figure.
FIGURES = {
    "F1@M": "f1_at_m",
    "F1@O": "f1_at_o",
    "present F1@O": "present_f1_at_o",
    "reordered R@O": "reordered_recall_at_o",
    "mixed R@O": "mixed_recall_at_o",
    "unseen R@O": "unseen_recall_at_o",
}


def measure(documents: pa.Table, found: Sequence[list[str]]) -> dict[str, Part]:
    """Sum and count of each of `FIGURES` over `documents` (title, abstract, lang, keyphrases) with the phrases `found`.

    Documents without a reference of a class are not counted in its figure.
    """
    metrics = [metric for metric in METRICS if metric.name in FIGURES]
    counts = np.zeros((len(metrics), len(found), 4), np.int64)
    columns = (documents[name].to_pylist() for name in ("title", "abstract", "lang", "keyphrases"))
    for i, (title, abstract, lang, references) in enumerate(zip(*columns, strict=True)):
        title_words, abstract_words = (normalise_words(text, lang, CONVENTION.matching) for text in (title, abstract))
        source = Source.of(title_words, abstract_words, CONVENTION.source)
        wanted = phrases_of(references, source, lang, CONVENTION, reference=True)
        given = phrases_of(found[i], source, lang, CONVENTION, reference=False)
        for m, metric in enumerate(metrics):
            c = count(metric, given, wanted, CONVENTION)
            counts[m, i] = c.matches, c.predicted, c.wanted, c.references
    sums = {m.name: sample(m, c, CONVENTION).columns.sum(axis=0) for m, c in zip(metrics, counts, strict=True)}
    return {FIGURES[name]: (float(total), float(number)) for name, (total, number) in sums.items()}
