"""Which annotated documents the ranker learns from, and which it must never see."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

import numpy as np

from kartoteka.keyphrases.hashing import within
from kartoteka.keyphrases.settings import KeyphraseSettings
from kartoteka.keyphrases.train import is_training
from kartoteka.ranking.settings import RankerSettings

if TYPE_CHECKING:
    from kartoteka.ranking.directory import RankerFiles

#: Validation takes at most this share of a small archive.
_MOST = 0.1


class Split(IntEnum):
    """What a document is for. `ASIDE`: for nothing; not drawn, or it would tell of a document of the middle two."""

    TRAINING = 0
    VALIDATION = 1
    FUSION = 2
    ASIDE = 3


def split_of(ids: list[str], annotated: int, settings: RankerSettings, keyphrases: KeyphraseSettings) -> np.ndarray:
    """A `Split` for each id of an archive with `annotated` documents, int8 [n].

    By the hash of the id alone, so that every part can split its own. FUSION are those that `is_training` picks for the
    fusion of features, or the first of them where it would pick too many of a small archive. ASIDE are those that
    `settings.documents` leaves over.
    """
    few = min(keyphrases.training_documents, int(annotated * settings.fusion_share))
    fusion = is_training(ids, annotated, keyphrases.model_copy(update={"training_documents": few}))
    share = min(settings.validation_documents / max(annotated, 1), _MOST)
    validation = within([f"validation:{settings.seed}:{name}" for name in ids], share)
    learned = np.full(len(ids), True)
    if settings.documents is not None:
        drawn = settings.documents / max((annotated - few) * (1 - share), 1.0)
        learned = within([f"learned:{settings.seed}:{name}" for name in ids], min(1.0, drawn))
    training = np.where(learned, Split.TRAINING, Split.ASIDE)
    return np.where(fusion, Split.FUSION, np.where(validation, Split.VALIDATION, training)).astype(np.int8)


def check_unseen(name: str, ranker: RankerFiles, ids: list[str], split: np.ndarray) -> None:
    """Raise `ValueError` where a ranker to learn from has seen documents that the fusion is to be fitted on.

    `split` int8 [n] of the documents `ids`. What is made of it would know of them what it must not. `name` says what it
    is: `teacher`, or `encoder` to start from.
    """
    left_alone = np.flatnonzero(split == Split.FUSION)
    seen = int(ranker.has_seen([ids[row] for row in left_alone.tolist()]).sum())
    if seen:
        raise ValueError(
            f"{name}: it has seen {seen:,} of the {len(left_alone):,} documents that are left alone for the fusion; "
            "train both with the same `[keyphrases]` and `ranker.fusion_share`"
        )
