"""What can be set of the keyphrases."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from kartoteka.settings import Settings


class KeyphraseSettings(Settings):
    """How keyphrases are found, ranked and cut.

    `neighbours`: nearest annotated documents asked per list; `retrieval`: the list by words, by vectors, both side by
    side, or both `fused` into one by reciprocal rank. `terms`: terms taken from the document itself. `method`: the
    learned `ranker`, or the `votes` baseline (summed scores of the neighbours that carry a phrase, phrases that stand
    in the text first). `limit` keyphrases are kept, and up to `per_category` of each of present, reordered, mixed and
    unseen beyond it; none below `min_score`. With `cut` at `expected_f1` a list ends where its expected F1 is greatest,
    and nothing is kept beyond: lists to be assigned as they stand (where no ranker was fitted, at `limit`). The rest
    concerns the ranker's training on `training_documents` of the archive's annotated documents in `folds` cross-fitted
    parts: all candidates, then the best `second_look` of each document again beside each other (0: not). Below
    `min_training` annotated documents a fixed formula ranks.
    """

    neighbours: int = Field(50, ge=1, le=1000)
    retrieval: Literal["lexical", "vectors", "both", "fused"] = "both"
    terms: int = Field(30, ge=0, le=200)
    method: Literal["ranker", "votes"] = "ranker"
    limit: int = Field(15, ge=1, le=200)
    per_category: int = Field(3, ge=0, le=50)
    min_score: float = Field(0.0, ge=0, le=1)
    cut: Literal["limit", "expected_f1"] = "limit"
    training_documents: int = Field(5000, ge=50)
    min_training: int = Field(60, ge=20)
    folds: int = Field(3, ge=2, le=20)
    rounds: int = Field(120, ge=1, le=2000)
    leaves: int = Field(24, ge=2, le=256)
    learning_rate: float = Field(0.1, gt=0, le=1)
    negatives: int = Field(8, ge=1)
    second_look: int = Field(40, ge=0, le=1000)
    seed: int = Field(0, ge=0)
