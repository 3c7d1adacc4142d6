from __future__ import annotations

import numpy as np

from kartoteka.keyphrases.settings import KeyphraseSettings
from kartoteka.keyphrases.train import is_training
from kartoteka.ranking.settings import RankerSettings
from kartoteka.ranking.split import Split, split_of

IDS = [f"doc-{n}" for n in range(20_000)]


def test_the_fusion_gets_what_it_would_pick_itself() -> None:
    keyphrases = KeyphraseSettings(training_documents=2000)
    split = split_of(IDS, len(IDS), RankerSettings(), keyphrases)
    np.testing.assert_array_equal(split == Split.FUSION, is_training(IDS, len(IDS), keyphrases))


def test_a_small_archive_keeps_most_for_training() -> None:
    """The fusion would take all of it; what is left to it is among what it would pick, whatever it is asked for."""
    few = IDS[:400]
    split = split_of(few, len(few), RankerSettings(), KeyphraseSettings())
    assert 60 < (split == Split.FUSION).sum() < 140
    assert 15 < (split == Split.VALIDATION).sum() < 60
    assert (split == Split.TRAINING).sum() > 200
    more = is_training(few, len(few), KeyphraseSettings(training_documents=200))
    assert more[split == Split.FUSION].all()


def test_sizes_and_seeds() -> None:
    settings = RankerSettings(validation_documents=300)
    split = split_of(IDS, len(IDS), settings, KeyphraseSettings(training_documents=1000))
    assert 240 < (split == Split.VALIDATION).sum() < 360
    other = split_of(IDS, len(IDS), settings.model_copy(update={"seed": 1}), KeyphraseSettings(training_documents=1000))
    assert (split != other).any()
    pieces = [split_of(IDS[a : a + 999], len(IDS), settings, KeyphraseSettings(training_documents=1000))
              for a in range(0, len(IDS), 999)]  # fmt: skip
    np.testing.assert_array_equal(np.concatenate(pieces), split)
