"""Heads of random weights."""

from __future__ import annotations

import numpy as np

from kartoteka.encoding.spans import LONGEST, SpanHead


def random_head(width: int, seed: int = 0) -> SpanHead:
    """A head for states of that width."""
    random = np.random.default_rng(seed)
    shapes = ((LONGEST, width), (LONGEST, width), (LONGEST,))
    return SpanHead(*(random.normal(size=shape).astype(np.float32) for shape in shapes))
