"""How well the classes stand apart in a space of vectors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Separation:
    """Of n labelled vectors. `within`: mean squared distance of a vector to its class's mean.

    `between`: of the classes' means, by size, to the mean of all; the two add up to the variance. `silhouette`: by
    cosine, on a sample.
    """

    silhouette: float
    within: float
    between: float

    @property
    def ratio(self) -> float:
        """Between over within."""
        return self.between / self.within if self.within else float("inf")


def separation(vectors: np.ndarray, labels: np.ndarray, *, sample: int = 2000, seed: int = 0) -> Separation:
    """Separation of unit `vectors` [n, d] by `labels` [n]; the silhouette (Rousseeuw 1987) of `sample` of them.

    Raises `ValueError`: fewer than two classes, or no class of two vectors.
    """
    from sklearn.metrics import silhouette_score

    counts = np.unique(labels, return_counts=True)[1]
    if not 2 <= len(counts) < len(labels):
        raise ValueError(f"labels: {len(counts)} classes in {len(labels)} vectors: nothing to set apart")
    vectors = vectors.astype(np.float64)
    middle, within, between = vectors.mean(axis=0), 0.0, 0.0
    for label in np.unique(labels):
        own = vectors[labels == label]
        within += float(((own - own.mean(axis=0)) ** 2).sum())
        between += len(own) * float(((own.mean(axis=0) - middle) ** 2).sum())
    rows = np.random.default_rng(seed).permutation(len(labels))[:sample]
    known = 2 <= len(np.unique(labels[rows])) < len(rows)
    silhouette = float(silhouette_score(vectors[rows], labels[rows], metric="cosine")) if known else float("nan")
    return Separation(silhouette, within / len(labels), between / len(labels))
