"""Which models the encoder loads for an edition: those that made it, or none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from encoding.span_heads import random_head

from kartoteka.edition import FORMAT
from kartoteka.encoding.encoder import load_encoder
from kartoteka.encoding.models import resolve_model
from kartoteka.encoding.settings import EncodingSettings
from kartoteka.encoding.spans import SpanHead
from kartoteka.encoding.transformer import load_transformer
from kartoteka.keyphrases.hashing import hash_words
from kartoteka.ranking.directory import open_ranker, write_ranker
from kartoteka.ranking.settings import RankerSettings
from kartoteka.stages.embed import texts_of
from kartoteka.stages.spans import spans_of
from kartoteka.stages.trained import EncodeTrained
from kartoteka.stages.vectors import matrix_of
from serve.editions import EditionRef
from serve.encoder import Encoder, Piece, cut, encode_pieces


def write(folder: Path, tiny_encoder: Path, head: SpanHead | None = None) -> Path:
    """A ranker of the tiny encoder's own weights."""
    folder.mkdir()
    transformer = load_transformer(resolve_model(str(tiny_encoder)))
    settings = RankerSettings(separator=" | ", max_phrase_tokens=7)
    write_ranker(folder, transformer, tiny_encoder, settings, np.sort(hash_words(["a"])), {}, head)
    (folder / "README.md").write_text("card")
    return folder


@pytest.fixture
def ranker(tiny_encoder: Path, tmp_path: Path) -> Path:
    return write(tmp_path / "ranker", tiny_encoder)


@pytest.fixture
def reading(tiny_encoder: Path, tmp_path: Path) -> Path:
    """A ranker whose encoder has a head for spans."""
    return write(tmp_path / "reading", tiny_encoder, random_head(32))


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


def made_with(tiny_encoder: Path, ranker: Path, folder: Path) -> EditionRef:
    own = {"name": str(tiny_encoder), "revision": None, "sha256": resolve_model(str(tiny_encoder)).sha256}
    return edition_with(folder, {"encoder": own, "ranker": open_ranker(str(ranker)).identity})


def test_spans_are_those_of_the_reindex(tiny_encoder: Path, reading: Path, tmp_path: Path) -> None:
    ref = made_with(tiny_encoder, reading, tmp_path / "edition")
    own = Encoder.func_or_class({"edition": ref.path, "ranker": str(reading)})._open(ref)["ranker"]
    rows = [{"title": f"Sea robots {n}", "abstract": "They walk over ice. " * n} for n in range(9)]
    table = pa.Table.from_pylist(rows)
    tokens, places = own.tokenise(texts_of(table, " | "))
    pieces = [Piece(own.model, own.head, part, {}) for part in cut(tokens, 150)]
    assert len(pieces) > 3
    found = own.encoded(tokens, places, encode_pieces(pieces[:2]) + encode_pieces(pieces[2:]))
    step = EncodeTrained(open_ranker(str(reading)), EncodingSettings()).steps[0]
    step.open()
    made = step.apply(table)
    wanted = spans_of(made["spans"])
    np.testing.assert_array_equal(found.spans.offsets, wanted.offsets)
    exact = made["precision"][0].as_py() == "int16"  # whose numbers do not depend on the company
    np.testing.assert_allclose(found.spans.scores.astype(np.float16), wanted.scores, atol=0 if exact else 0.02)
    np.testing.assert_allclose(found.vectors, matrix_of(made["vector"]), atol=1e-3)
    np.testing.assert_array_equal(found.tokens, tokens.lengths)


def test_a_head_is_that_of_the_edition_or_none(tiny_encoder: Path, ranker: Path, reading: Path, tmp_path: Path) -> None:
    for number, (own, now) in enumerate([(ranker, reading), (reading, ranker)]):
        ref = made_with(tiny_encoder, own, tmp_path / f"edition-{number}")
        with pytest.raises(ValueError, match="has not the head for spans"):
            Encoder.func_or_class({"edition": ref.path, "ranker": str(now)})._open(ref)
        models = Encoder.func_or_class({"edition": ref.path, "ranker": str(own)})._open(ref)
        assert (models["ranker"].head is None) == (own is ranker)
        assert models["encoder"].head is None


def test_pieces_of_one_model_with_and_without_a_head(tiny_encoder: Path) -> None:
    model = load_encoder(str(tiny_encoder), precision="fp32")
    heads = [None, random_head(32), random_head(32, 1), None]
    tokens = [model.tokenise(texts) for texts in (["one"], ["two", "three words here"], ["four"], ["five", "six"])]
    found = encode_pieces([Piece(model, head, some, {}) for head, some in zip(heads, tokens, strict=True)])
    for (vectors, products), head, some in zip(found, heads, tokens, strict=True):
        np.testing.assert_allclose(vectors, model.encode_tokens(some), atol=1e-5)
        if head is None:
            assert products is None
        else:
            np.testing.assert_allclose(products, model.project(some, head.projection)[1], atol=1e-3)
