"""A classifier by n-grams, learned from labelled texts by scikit-learn's logistic regression."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from kartoteka.evaluation.confusion import confusion, macro_f1
from kartoteka.sentiment.grams import Grams, Shape, count_grams
from kartoteka.sentiment.ngrams import Parameters, features
from kartoteka.sentiment.settings import NgramSettings
from kartoteka.sentiment.temperature import fit_temperature, nll
from kartoteka.sentiment.texts import CLASSES

if TYPE_CHECKING:
    from scipy.sparse import csr_array

#: Of the solver, which needs about a hundred.
_ITERATIONS = 1000


class Fitted(NamedTuple):
    """Calibrated parameters; macro-F1 of the held texts by strength, the best strength, the temperature."""

    shape: Shape
    parameters: Parameters
    macro_f1: dict[float, float]
    strength: float
    temperature: float


def fit_ngrams(
    texts: Sequence[str],
    labels: np.ndarray,
    held: Sequence[str],
    held_labels: np.ndarray,
    settings: NgramSettings,
    seed: int,
) -> Fitted:
    """Learn from `texts` [n] with `labels` int64 [n]; strength and temperature are chosen by the `held` ones.

    All classes occur in `labels`.
    """
    shape = Shape(settings.shortest, settings.longest, settings.bits)
    grams = count_grams(texts, shape)
    idf = inverse_frequencies(grams, shape.buckets, settings.least_texts)
    used = np.flatnonzero(idf)
    learned, asked = features(grams, idf)[:, used], features(count_grams(held, shape), idf)[:, used]
    tried = {strength: _fit(learned, labels, strength, settings.balanced, seed) for strength in settings.strengths}
    logits = {strength: asked @ weights + bias for strength, (weights, bias) in tried.items()}
    scores = {
        strength: float(macro_f1(confusion(held_labels, found.argmax(axis=1), len(CLASSES))))
        for strength, found in logits.items()
    }
    # Of equals the one that is surer of what is right: texts too easy to tell strengths apart leave that
    best = max(scores, key=lambda strength: (scores[strength], -nll(logits[strength], held_labels)))
    weights, bias = tried[best]
    temperature = fit_temperature(logits[best], held_labels)
    whole = np.zeros((shape.buckets, len(CLASSES)), np.float32)
    whole[used] = weights / temperature
    return Fitted(shape, Parameters(whole, bias / temperature, idf), scores, best, temperature)


def inverse_frequencies(grams: Grams, buckets: int, least: int) -> np.ndarray:
    """ln((1 + n) / (1 + df)) + 1 float32 [`buckets`] for df of the n texts (scikit-learn's smooth idf).

    0 where df is under `least`.
    """
    found = np.bincount(grams.buckets, minlength=buckets)
    inverse = np.log(len(grams.offsets) / (1 + found)) + 1
    return np.where(found >= least, inverse, 0).astype(np.float32)


def _fit(
    rows: csr_array, labels: np.ndarray, strength: float, balanced: bool, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Weights float32 [features, 3] and bias float32 [3]: multinomial, L2."""
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(
        C=strength, class_weight="balanced" if balanced else None, max_iter=_ITERATIONS, random_state=seed
    )
    model.fit(rows, labels)
    return model.coef_.T.astype(np.float32), model.intercept_.astype(np.float32)
