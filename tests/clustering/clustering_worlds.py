"""Points with clusters in them."""

from __future__ import annotations

import numpy as np


def mixture(count: int, centres: int, dimension: int = 16, spread: float = 0.35, seed: int = 0) -> np.ndarray:
    """Unit vectors float32 [count, dimension] about so many centres, some of them far more often than others."""
    rng = np.random.default_rng(seed)
    middle = rng.standard_normal((centres, dimension))
    often = rng.pareto(1.5, centres) + 0.2
    chosen = rng.choice(centres, count, p=often / often.sum())
    points = middle[chosen] + spread * rng.standard_normal((count, dimension))
    return (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)


def inertia_of(points: np.ndarray, clusters: np.ndarray, centroids: np.ndarray) -> float:
    """The sum of squared distances."""
    return float(((points.astype(np.float64) - centroids[clusters]) ** 2).sum())
