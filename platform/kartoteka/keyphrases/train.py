"""Fitting the ranker on the archive's own annotated documents, each treated as if it were new."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from kartoteka.keyphrases.candidates import Best, Candidates
from kartoteka.keyphrases.cut import Size, fit_size
from kartoteka.keyphrases.hashing import within
from kartoteka.keyphrases.ranker import Ranker, fit_ranker
from kartoteka.keyphrases.rules import prior_rule, votes_rule
from kartoteka.keyphrases.settings import KeyphraseSettings
from kartoteka.keyphrases.spans import Trained
from kartoteka.keyphrases.suggest import Suggester
from kartoteka.keyphrases.twins import find_twins

#: Does `work(suggester, *some)` for each of the arguments, wherever there is room, and gives the results in order.
Spread = Callable[[Callable[..., Any], Sequence[tuple[Any, ...]]], list[Any]]


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
    spread: Spread | None = None,
) -> Training:
    """Fit on `documents` (id, title, abstract, lang) with numbers `own` int64 [n] in the archive, none of them -1.

    `vectors` and `trained`: see `Suggester.candidates`; the encoder of the latter must not have seen the documents. So
    many `threads` fit trees, and all else is spread in so many pieces; any number gives the same.
    """
    own, settings = np.asarray(own, np.int64), suggester.settings
    pieces = _pieces(documents.num_rows, threads)
    if spread is None or len(pieces) == 1:
        spread = _in_place(suggester)
    rows = [documents.slice(a, b - a) for a, b in pieces]
    near = [None if vectors is None else vectors[a:b] for a, b in pieces]
    read = [trained and trained.slice(a, b) for a, b in pieces]
    examples = spread(_examples, list(zip(rows, near, [own[a:b] for a, b in pieces], read, strict=True)))
    votes = pa.concat_tables([lists for _, lists in examples])
    if settings.method == "votes":
        return Training("votes", None, votes, votes)
    found = Candidates.concatenate([found for found, _ in examples])

    def lists(order: np.ndarray, score: np.ndarray, size: Size | None = None) -> pa.Table:
        best = Best.of(found, order, score, settings, size)
        some = [best.slice(a, b) for a, b in pieces]
        return pa.concat_tables(spread(Suggester.lists, list(zip(rows, some, strict=True))))

    pool, formula = found.pool, prior_rule(found.pool)
    fitted = fit_ranker(found.rows, pool.own, pool.offsets, found.names, settings, found.named, formula, threads)
    if fitted is None:
        return Training("prior", None, lists(formula, formula), votes)
    order, score = fitted.ranker.rank(found.rows, pool.offsets, formula, found.named, fitted.held_out)
    references = np.diff(suggester.archive.arrays.doc_offsets)[own]
    size = fit_size(order, score, pool.offsets, settings.limit, references)
    return Training("ranker", replace(fitted.ranker, size=size), lists(order, score, size), votes)


def _in_place(suggester: Suggester) -> Spread:
    return lambda work, arguments: [work(suggester, *some) for some in arguments]


def _examples(
    suggester: Suggester, documents: pa.Table, vectors: np.ndarray | None, own: np.ndarray, trained: Trained | None
) -> tuple[Candidates, pa.Table]:
    """Candidates of documents that are to know nothing of their twins, and the lists of the `votes` baseline."""
    found = suggester.candidates(documents, vectors, own, find_twins(suggester.archive, own), trained)
    shares = votes_rule(found.pool)
    return found, suggester.lists(documents, Best.of(found, shares, shares, suggester.settings))


def _pieces(documents: int, most: int) -> list[tuple[int, int]]:
    """The bounds of at most so many pieces of equal size, one where there are no documents."""
    size = max(1, -(-documents // most))
    return [(start, min(start + size, documents)) for start in range(0, max(documents, 1), size)]
