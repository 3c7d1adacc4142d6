"""What follows from a confusion matrix, which adds up over parts and resamples."""

from __future__ import annotations

import numpy as np


def confusion(gold: np.ndarray, given: np.ndarray, classes: int) -> np.ndarray:
    """How often a text of class i (row) is given class j (column), int64 [classes, classes]."""
    return np.bincount(gold * classes + given, minlength=classes * classes).reshape(classes, classes)


def precision_by_class(matrix: np.ndarray) -> np.ndarray:
    """Of what is given a class, the share that is of it; 0 where nothing is given it. [..., c, c] -> [..., c]."""
    return _share(_right(matrix), matrix.sum(axis=-2))


def recall_by_class(matrix: np.ndarray) -> np.ndarray:
    """Of a class, the share that is given it; 0 for an empty class. [..., c, c] -> [..., c]."""
    return _share(_right(matrix), matrix.sum(axis=-1))


def f1_by_class(matrix: np.ndarray) -> np.ndarray:
    """Harmonic mean of precision and recall, 0 where there is neither. [..., c, c] -> [..., c]."""
    return _share(2 * _right(matrix), matrix.sum(axis=-1) + matrix.sum(axis=-2))


def macro_f1(matrix: np.ndarray) -> np.ndarray:
    """The mean of the classes' F1, an empty class among them counting 0. [..., c, c] -> [...]."""
    return f1_by_class(matrix).mean(axis=-1)


def accuracy(matrix: np.ndarray) -> np.ndarray:
    """The share that is given its own class, NaN of nothing. [..., c, c] -> [...]."""
    with np.errstate(invalid="ignore"):
        return _right(matrix).sum(axis=-1) / matrix.sum(axis=(-2, -1))


def _right(matrix: np.ndarray) -> np.ndarray:
    return np.diagonal(matrix, axis1=-2, axis2=-1)


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.zeros(np.broadcast_shapes(part.shape, whole.shape)), where=whole > 0)
