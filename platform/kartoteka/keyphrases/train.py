"""Fitting the ranker on the archive's own annotated documents, each treated as if it were new."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pyarrow as pa

from kartoteka.keyphrases.cut import fit_size
from kartoteka.keyphrases.hashing import within
from kartoteka.keyphrases.ranker import Ranker, fit_ranker
from kartoteka.keyphrases.rules import prior_rule, votes_rule
from kartoteka.keyphrases.settings import KeyphraseSettings
from kartoteka.keyphrases.spans import Trained
from kartoteka.keyphrases.suggest import Suggester
from kartoteka.keyphrases.twins import find_twins


@dataclass(frozen=True, slots=True)
class Training:
    """What will rank, and what it and the `votes` baseline give the training documents, as `KEYPHRASES_SCHEMA` tables.

    `system`: the `ranker`, held out from each document it scores here; the `prior` rule where there was too little to
    learn from; or `votes` where they were asked for. Only the first has scores that are probabilities.
    """

    system: Literal["ranker", "prior", "votes"]
    ranker: Ranker | None
    held_out: pa.Table
    votes: pa.Table


def is_training(ids: list[str], annotated: int, settings: KeyphraseSettings) -> np.ndarray:
    """Which annotated documents the ranker is trained on, bool [n]: about `training_documents` of all `annotated`.

    Decided by the hash of the id, so that every part can choose its own and the parts' cut does not matter.
    """
    share = min(1.0, settings.training_documents / max(annotated, 1))
    return within([f"{settings.seed}:{name}" for name in ids], share)


def train(
    suggester: Suggester,
    documents: pa.Table,
    vectors: np.ndarray | None,
    own: np.ndarray,
    trained: Trained | None = None,
    threads: int = 1,
) -> Training:
    """Fit on `documents` (id, title, abstract, lang) with numbers `own` int64 [n] in the archive, none of them -1.

    `vectors` and `trained`: see `Suggester.candidates`; the encoder of the latter must not have seen the documents.
    """
    own = np.asarray(own, np.int64)
    found = suggester.candidates(documents, vectors, own, find_twins(suggester.archive, own), trained)
    shares = votes_rule(found.pool)
    votes = suggester.table(documents, found, shares, shares)
    if suggester.settings.method == "votes":
        return Training("votes", None, votes, votes)
    formula = prior_rule(found.pool)
    pool = found.pool
    fitted = fit_ranker(
        found.rows, pool.own, pool.offsets, found.names, suggester.settings, found.named, formula, threads
    )
    if fitted is None:
        return Training("prior", None, suggester.table(documents, found, formula, formula), votes)
    order, score = fitted.ranker.rank(found.rows, pool.offsets, formula, found.named, fitted.held_out)
    references = np.diff(suggester.archive.arrays.doc_offsets)[own]
    size = fit_size(order, score, pool.offsets, suggester.settings.limit, references)
    ranker = replace(fitted.ranker, size=size)
    return Training("ranker", ranker, suggester.table(documents, found, order, score, size), votes)
