"""Two classifiers asked instead of one: what they say together, and where they say the same."""

from __future__ import annotations

import numpy as np


def together(one: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What two classifiers say, `one` and `other` [n, c]: probabilities float32 [n, c], and bool [n], who agree.

    The product of experts at half their weight (Hinton 1999): the geometric mean of their probabilities, normalised.
    They agree where the most probable class is the same.
    """
    logs = (np.log(np.clip(one, 1e-9, 1)) + np.log(np.clip(other, 1e-9, 1))) / 2
    shares = np.exp(logs - logs.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    return shares.astype(np.float32), one.argmax(axis=1) == other.argmax(axis=1)
