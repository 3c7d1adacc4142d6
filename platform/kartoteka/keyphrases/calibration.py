"""From what candidates are ordered by to probabilities."""

from __future__ import annotations

import numpy as np


def top_candidates(order: np.ndarray, offsets: np.ndarray, limit: int) -> np.ndarray:
    """Rows of the `limit` best candidates of each document, best first, equal ones as they come; int64."""
    of = np.repeat(np.arange(offsets.size - 1), np.diff(offsets))
    ranked = np.lexsort((-order, of))
    return ranked[np.arange(ranked.size) - offsets[of] < limit]


def document_of(offsets: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The document of each candidate row, int64."""
    return np.searchsorted(offsets, rows, side="right") - 1


def calibrate(order: np.ndarray, labels: np.ndarray, offsets: np.ndarray, limit: int) -> np.ndarray:
    """Knots float64 [2, m]: values of `order`, and the share that is right of candidates with such a value.

    Isotonic regression over the `limit` best candidates of each document: those are what is shown.
    """
    from sklearn.isotonic import IsotonicRegression  # imported late: only the training task needs it

    emitted = top_candidates(order, offsets, limit)
    isotonic = IsotonicRegression(y_min=0.0, y_max=1.0).fit(order[emitted], labels[emitted])
    return np.stack([isotonic.X_thresholds_, isotonic.y_thresholds_]).astype(np.float64)


def log_odds(probability: np.ndarray) -> np.ndarray:
    """log(p / (1 - p)), p no nearer to 0 or 1 than 0.0001."""
    kept = np.clip(probability, 1e-4, 1 - 1e-4)
    return np.log(kept / (1 - kept))
