"""Tokens hidden from an encoder, for it to tell from the others (Devlin et al. 2019)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

#: The target of a token that is not asked for: what torch's cross-entropy ignores.
IGNORED = -100
#: Of the tokens asked for: shown as the mask, and shown as any token; the rest are shown as they are.
_MASKED, _REPLACED = 0.8, 0.1


class Vocabulary(NamedTuple):
    """The numbers of a tokeniser: how many there are, the mask's, and `marks` int64 [m], which stand for no text."""

    size: int
    mask: int
    marks: np.ndarray


def hide(
    ids: np.ndarray, vocabulary: Vocabulary, share: float, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """What the encoder is shown, int32 [n], and what it is asked, int64 [n] (`IGNORED`: nothing), of tokens `ids` [n].

    Each token but the marks is asked for with probability `share`. Of those, 80 % are shown as the mask, 10 % as a
    token drawn from the whole vocabulary, 10 % as they are.
    """
    asked = (random.random(len(ids)) < share) & ~np.isin(ids, vocabulary.marks)
    fate, drawn = random.random(len(ids)), random.integers(0, vocabulary.size, len(ids))
    shown = np.where(asked & (fate < _MASKED), vocabulary.mask, ids)
    shown = np.where(asked & (fate >= 1 - _REPLACED), drawn, shown)
    return shown.astype(np.int32), np.where(asked, ids, IGNORED).astype(np.int64)
