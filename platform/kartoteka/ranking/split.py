"""Which annotated documents the ranker learns from, and which it must never see."""

from __future__ import annotations

from enum import IntEnum

import numpy as np

from kartoteka.keyphrases.hashing import within
from kartoteka.keyphrases.settings import KeyphraseSettings
from kartoteka.keyphrases.train import is_training
from kartoteka.ranking.settings import RankerSettings

#: Validation takes at most this share of a small archive.
_MOST = 0.1


class Split(IntEnum):
    """What a document is for. `ASIDE`: for nothing, it would tell the encoder of a document of the other two."""

    TRAINING = 0
    VALIDATION = 1
    FUSION = 2
    ASIDE = 3


def split_of(ids: list[str], annotated: int, settings: RankerSettings, keyphrases: KeyphraseSettings) -> np.ndarray:
    """TRAINING, VALIDATION or FUSION for each id of an archive with `annotated` documents, int8 [n].

    By the hash of the id alone, so that every part can split its own. FUSION are those that `is_training` picks for the
    fusion of features, or the first of them where it would pick too many of a small archive.
    """
    few = min(keyphrases.training_documents, int(annotated * settings.fusion_share))
    fusion = is_training(ids, annotated, keyphrases.model_copy(update={"training_documents": few}))
    share = min(settings.validation_documents / max(annotated, 1), _MOST)
    validation = within([f"validation:{settings.seed}:{name}" for name in ids], share)
    return np.where(fusion, Split.FUSION, np.where(validation, Split.VALIDATION, Split.TRAINING)).astype(np.int8)
