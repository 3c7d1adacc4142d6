"""Where a document's list ends when it is to be assigned as it stands: where its expected F1 is greatest.

With k keyphrases of probabilities p the expected F1 is about 2 (p1 + ... + pk) / (k + r), r being how many keyphrases a
cataloguer would assign: the plug-in estimate of Jansche 2007 ("A Maximum Expected Utility Framework for Binary Sequence
Labeling"). A longer list is worth more only while the next probability is above half of that.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from kartoteka.keyphrases.calibration import document_of, top_candidates


class Size(NamedTuple):
    """How many keyphrases a document is expected to have: `base` + `slope` x what its best `candidates` sum up to."""

    base: float
    slope: float
    candidates: int

    def references(self, order: np.ndarray, score: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        """That number of n documents, float64 [n], at least 1.

        `order` float64 [m]: what their candidates are ordered by; `score` float64 [m]: the probabilities of these.
        """
        return np.maximum(self.base + self.slope * _sums(order, score, offsets, self.candidates), 1.0)


def fit_size(
    order: np.ndarray, score: np.ndarray, offsets: np.ndarray, candidates: int, references: np.ndarray
) -> Size:
    """By least squares from documents that have `references` int64 [n] keyphrases, those nobody found among them."""
    sums = _sums(order, score, offsets, candidates)
    spread = float(((sums - sums.mean()) ** 2).sum())
    slope = float(((sums - sums.mean()) * (references - references.mean())).sum()) / spread if spread > 0 else 0.0
    return Size(float(references.mean() - slope * sums.mean()), slope, candidates)


def _sums(order: np.ndarray, score: np.ndarray, offsets: np.ndarray, candidates: int) -> np.ndarray:
    top = top_candidates(order, offsets, candidates)
    return np.bincount(document_of(offsets, top), weights=score[top], minlength=offsets.size - 1)


def best_length(probabilities: Sequence[float], references: float) -> int:
    """How many of the `probabilities`, best first, have the greatest expected F1; 0 where there are none."""
    if not len(probabilities):
        return 0
    hits = np.cumsum(np.asarray(probabilities, np.float64))
    return 1 + int(np.argmax(hits / (np.arange(1, hits.size + 1) + references)))
