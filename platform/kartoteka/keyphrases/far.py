"""Documents far from everything in the archive: the trees and the fixed formula rank them together.

Trees fitted on an archive's own documents have always had near neighbours to ask. Of a document unlike all of those
they are no better judges than the formula is, but they are other judges: the mean of their log-odds beats both.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from kartoteka.keyphrases.calibration import calibrate, log_odds

#: Shares of the training documents that are far and, up to the second, no longer quite near.
FAR, NEAR = 0.01, 0.05


class Far(NamedTuple):
    """Documents of nearness `low` and less are far, those of `high` and more are near.

    `prior` float64 [2, k]: the formula's scores and the probability each stands for; `knots` float64 [2, m]: the mean
    of the two log-odds, and the probability it stands for.
    """

    low: float
    high: float
    prior: np.ndarray
    knots: np.ndarray

    def trust(self, near: np.ndarray) -> np.ndarray:
        """How far the trees are trusted alone, float64 [n] in [0, 1], for nearness float64 [n]."""
        return np.clip((near - self.low) / max(self.high - self.low, 1e-6), 0.0, 1.0)

    def blend(self, trees: np.ndarray, formula: np.ndarray, trust: np.ndarray) -> np.ndarray:
        """Log-odds of `trees` and scores of the `formula` as one order, float64 [m]; at most half is the formula's."""
        # Equal probabilities keep the formula's order.
        other = log_odds(np.interp(formula, *self.prior)) + 1e-3 * formula
        return trees + 0.5 * (1 - trust) * (other - trees)


def nearness(rows: np.ndarray, names: Sequence[str], offsets: np.ndarray) -> np.ndarray:
    """How near each of n documents is to the archive, float64 [n], by its candidates' feature rows float32 [m, f].

    The cosine to the nearest of its neighbours where there are vectors, else the share of its terms that are known:
    scores of BM25 say nothing of it, a text on another subject has as many words in common.
    """
    column = rows[:, list(names).index("carrier_cosine" if "carrier_cosine" in names else "coverage")]
    held = np.diff(offsets) > 0
    near = np.zeros(held.size)
    if held.any():
        near[held] = np.maximum.reduceat(column, offsets[:-1][held])
    return near


def fit_far(
    near: np.ndarray, trees: np.ndarray, formula: np.ndarray, labels: np.ndarray, offsets: np.ndarray, limit: int
) -> Far:
    """From n training documents: nearness [n]; held-out log-odds, scores of the formula, and labels [m]."""
    low, high = np.quantile(near, (FAR, NEAR))
    prior = calibrate(formula, labels, offsets, limit)
    even = Far(float(low), float(high), prior, np.zeros((2, 0)))
    together = even.blend(trees, formula, np.zeros(labels.size))
    return even._replace(knots=calibrate(together, labels, offsets, limit))
