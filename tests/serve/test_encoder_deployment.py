"""Which models the encoder loads for an edition: those that made it, or none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kartoteka.edition import FORMAT
from kartoteka.encoding.models import resolve_model
from kartoteka.encoding.settings import EncodingSettings
from kartoteka.encoding.transformer import load_transformer
from kartoteka.keyphrases.hashing import hash_words
from kartoteka.ranking.directory import open_ranker, write_ranker
from kartoteka.ranking.settings import RankerSettings
from serve.editions import EditionRef
from serve.encoder import Encoder


@pytest.fixture
def ranker(tiny_encoder: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "ranker"
    folder.mkdir()
    transformer = load_transformer(resolve_model(str(tiny_encoder)))
    settings = RankerSettings(separator=" | ", max_phrase_tokens=7)
    write_ranker(folder, transformer, tiny_encoder, settings, np.sort(hash_words(["a"])), {})
    (folder / "README.md").write_text("card")
    return folder


def edition_with(folder: Path, models: dict[str, Any]) -> EditionRef:
    """A folder with the manifest of an edition, which is all that the encoder reads of one."""
    folder.mkdir()
    manifest = {"format": FORMAT, "config": {"encoding": EncodingSettings().model_dump()}, "models": models}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return EditionRef.of(str(folder))


def test_an_edition_made_with_a_trained_ranker_has_two_models(tiny_encoder: Path, ranker: Path, tmp_path: Path) -> None:
    own = {"name": str(tiny_encoder), "revision": None, "sha256": resolve_model(str(tiny_encoder)).sha256}
    ref = edition_with(tmp_path / "edition", {"encoder": own, "ranker": open_ranker(str(ranker)).identity})
    models = Encoder.func_or_class({"edition": ref.path, "ranker": str(ranker)})._open(ref)
    assert models.keys() == {"encoder", "ranker"}
    other = edition_with(tmp_path / "other", {"encoder": own | {"sha256": "0" * 64}})
    with pytest.raises(ValueError, match="has not the weights"):
        Encoder.func_or_class({"edition": other.path})._open(other)
