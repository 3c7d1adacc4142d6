"""Fixed rules: the `votes` baseline, and what ranks an archive too small to learn from.

Their scores are in [0, 1] and order candidates; they are no probabilities.
"""

from __future__ import annotations

import numpy as np

from kartoteka.keyphrases.pool import ABSTRACT_COUNT, SUM, TERM_RANK, TITLE_COUNT, Pool


def _present(pool: Pool) -> np.ndarray:
    return pool.text[:, TITLE_COUNT] + pool.text[:, ABSTRACT_COUNT] > 0


def votes_rule(pool: Pool) -> np.ndarray:
    """The baseline of the SearchKeys kind: phrases that literally stand in the text first, then the rest, each by the
    summed scores of the neighbours that carry them; float64 [m] in [0, 1]. What no neighbour carries comes last.
    """
    share = np.minimum(pool.votes[:, 0, SUM].astype(np.float64), 1.0)
    return np.where(share > 0, 0.5 * share + 0.5 * _present(pool), 0.0)


def prior_rule(pool: Pool) -> np.ndarray:
    """Votes and the document's own terms together, for lack of anything learned; float64 [m] in [0, 1].

    A term of rank r counts 1 / (1 + r / 5); a vote share counts fully where the phrase stands in the text, else half.
    """
    share = np.minimum(pool.votes[:, :, SUM].max(axis=1).astype(np.float64), 1.0)
    rank = pool.text[:, TERM_RANK].astype(np.float64)
    term = np.where(rank > 0, 1.0 / (1.0 + rank / 5.0), 0.0)
    return 0.5 * share * np.where(_present(pool), 1.0, 0.5) + 0.5 * term
