"""Principal components of unit vectors from sums that parts give: one pass over an archive that nobody holds.

A part gives how many vectors it has, their sum and the sum of their outer products, in float64; added up in part order
they are the covariance of all, whatever computed them.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np

#: Rows widened to float64 at once.
_ROWS = 4096


@dataclass(frozen=True, slots=True)
class Moments:
    """Of some unit vectors: `count`, `total` float64 [d], and `products` float64 [d, d], the sum of outer products."""

    count: int
    total: np.ndarray
    products: np.ndarray

    def __add__(self, other: Moments) -> Moments:
        return Moments(self.count + other.count, self.total + other.total, self.products + other.products)


def unit(vectors: np.ndarray, ids: Sequence[str] | None = None) -> np.ndarray:
    """`vectors` [n, d] as float32 of unit length; a zero vector stays one.

    Raises `ValueError` for a value that is not finite, naming the vectors that hold one by `ids`, else by row.
    """
    wide = np.asarray(vectors, np.float32)
    lengths = np.linalg.norm(wide, axis=1, keepdims=True)
    bad = np.flatnonzero(~np.isfinite(lengths[:, 0]))
    if len(bad):
        named = ", ".join(str(ids[row]) if ids is not None else f"row {row}" for row in bad[:5].tolist())
        raise ValueError(f"vectors: {len(bad):,} of {len(wide):,} hold a value that is not finite: {named}")
    return wide / np.where(lengths > 0, lengths, 1)


def moments(vectors: np.ndarray) -> Moments:
    """The sums of unit `vectors` [n, d]."""
    dimension = vectors.shape[1]
    total, products = np.zeros(dimension), np.zeros((dimension, dimension))
    for start in range(0, len(vectors), _ROWS):
        rows = vectors[start : start + _ROWS].astype(np.float64)
        total += rows.sum(axis=0)
        products += rows.T @ rows
    return Moments(len(vectors), total, products)


def add(parts: Iterable[Moments]) -> Moments:
    """The sums of all `parts`, of which there is one at least, added in their order."""
    return reduce(operator.add, parts)


@dataclass(frozen=True, slots=True)
class Projection:
    """Onto the first principal components: `mean` float32 [d], `components` float32 [dimension, d], largest first."""

    mean: np.ndarray
    components: np.ndarray

    def apply(self, vectors: np.ndarray, spherical: bool) -> np.ndarray:
        """Unit `vectors` [n, d] as float32 [n, dimension]; of unit length again for `spherical` clusters."""
        projected = (vectors - self.mean) @ self.components.T
        return unit(projected) if spherical else projected


def fit(whole: Moments, dimension: int) -> Projection:
    """The components of the covariance of all vectors, `dimension` of them or as many as the vectors have.

    A component's largest coefficient is positive: the sign is free, and would else be the machine's.
    """
    mean = whole.total / max(whole.count, 1)
    covariance = whole.products / max(whole.count, 1) - np.outer(mean, mean)
    _, vectors = np.linalg.eigh(covariance)
    components = vectors.T[::-1][:dimension]
    largest = np.abs(components).argmax(axis=1)
    signs = np.where(components[np.arange(len(components)), largest] < 0, -1.0, 1.0)
    return Projection(mean.astype(np.float32), np.ascontiguousarray(components * signs[:, None], np.float32))
