"""What candidates come from besides the archive: the nearest documents, and the document's own terms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kartoteka.keyphrases.phrases import shape
from kartoteka.keyphrases.pool import TermArrays
from kartoteka.keyphrases.words import Rows, rows
from kartoteka.text.terms import extract_terms


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The nearest annotated documents of n queries, best first: `numbers` int64 [n, k] (-1: none), `scores` float32."""

    numbers: np.ndarray
    scores: np.ndarray


@dataclass(frozen=True, slots=True)
class Terms:
    """Terms extracted from n documents, best first: `offsets` [n + 1] into them; `words` their stems as hashes.

    `phrases` as a person would write them, `shapes` float32 [t, 2] of `phrases.shape`, `counts` float32.
    """

    offsets: np.ndarray
    words: Rows
    counts: np.ndarray
    shapes: np.ndarray
    phrases: list[str]

    @property
    def arrays(self) -> TermArrays:
        """What the kernels read."""
        return TermArrays(self.offsets, self.words.words, self.words.offsets, self.counts)


def document_terms(titles: Sequence[str], abstracts: Sequence[str], langs: Sequence[str], limit: int) -> Terms:
    """Extract up to `limit` terms from each of n documents; 0 is none."""
    documents = zip(titles, abstracts, langs, strict=True)
    found = [extract_terms(*document, limit) if limit else [] for document in documents]
    offsets = np.zeros(len(found) + 1, np.int64)
    np.cumsum([len(terms) for terms in found], out=offsets[1:])
    flat = [term for terms in found for term in terms]
    return Terms(
        offsets,
        rows([term.key.split(" ") for term in flat]),
        np.array([term.count for term in flat], np.float32),
        np.array([shape(term.phrase) for term in flat], np.float32).reshape(-1, 2),
        [term.phrase for term in flat],
    )
