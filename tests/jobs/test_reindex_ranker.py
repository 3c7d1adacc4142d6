"""`reindex --ranker`: an edition made beside a trained encoder, from the export of its training task to `pack`."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from encoding.span_heads import random_head
from reindexing import records
from typer.testing import CliRunner

from jobs.__main__ import app
from kartoteka import edition as editions
from kartoteka.card import cards
from kartoteka.encoding.encoder import Encoder, load_encoder
from kartoteka.encoding.models import resolve_model
from kartoteka.encoding.spans import read_head, span_scores
from kartoteka.keyphrases.dense import TRAINED, open_vectors
from kartoteka.keyphrases.hashing import hash_words
from kartoteka.keyphrases.ranker import Ranker
from kartoteka.keyphrases.spans import SPANS, Trained
from kartoteka.online.index import SearchIndex
from kartoteka.online.keyphrases import Indexer
from kartoteka.ranking.directory import RankerFiles, open_ranker, write_ranker
from kartoteka.ranking.module import RankerModule
from kartoteka.ranking.settings import RankerSettings, StudentSettings
from kartoteka.ranking.student import write_student
from kartoteka.sentiment.classify import identity_of
from kartoteka.stages.suggest import RANKER

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def ranker(tiny_encoder: Path, tmp_path: Path) -> Path:
    """A ranker of one layer, with a head for spans, as training would export it, that has seen 40 documents."""
    student, folder = tmp_path / "student", tmp_path / "model"
    student.mkdir()
    folder.mkdir()
    write_student(resolve_model(str(tiny_encoder)), student, StudentSettings(layers=[1]), 64)
    seen = np.sort(hash_words([row["id"] for row in records(40)]))
    settings = RankerSettings(separator=" | ")
    transformer = RankerModule(student, settings).transformer
    write_ranker(folder, transformer, student, settings, seen, {}, random_head(transformer.config.hidden_size))
    return folder


@pytest.mark.slow
def test_an_edition_beside_a_trained_encoder(
    run: Run, corpus: Path, ranker: Path, tiny_encoder: Path, tiny_classifier: str, tmp_path: Path
) -> None:
    place = tmp_path / "e"
    result = run(corpus, "--edition", place, "--ranker", ranker, "--classifier", tiny_classifier)
    assert result.returncode == 0, result.stderr
    assert "trained" in result.stdout
    edition = editions.open(place)
    assert list(editions.verify(edition)) == []
    assert edition.manifest["models"]["ranker"] == open_ranker(str(ranker)).identity
    assert edition.manifest["models"]["classifier"] == identity_of(tiny_classifier)
    labels = edition.table("labels").to_table()
    assert labels["id"].to_pylist() == edition.table("documents").to_table()["id"].to_pylist()
    assert edition.manifest["counts"]["labelled"] == labels.num_rows == 200
    assert edition.manifest["counts"]["reliable"] == sum(labels["reliable"].to_pylist())
    assert None not in edition.summary("clusters")["dominant"].to_pylist()
    assert edition.manifest["quality"]["calibrated"]
    seen = {row["id"] for row in records(40)}
    rows = edition.table("documents").to_table().to_pylist()
    unseen = [row["id"] for row in rows if row["keyphrases"] and row["id"] not in seen]
    assert edition.manifest["quality"]["documents"] == len(unseen)
    names = Ranker.open(place / RANKER).names
    assert set(TRAINED) | set(SPANS) < set(names)
    assert "sum_2" in names  # neighbours by words, by the edition's vectors, by the ranker's

    vectors = open_vectors(place / "ranker" / "trained")
    document = next(row for row in rows if row["keyphrases"])
    text = f"{document['title']} | {document['abstract']}"
    wanted = load_encoder(str(ranker / "encoder")).encode([text])[0]
    np.testing.assert_allclose(vectors.document_codes[0] * vectors.document_scale[0], wanted, atol=0.01)
    assert not list(place.glob("embeddings/*trained*"))

    online_is_as_written(place, open_ranker(str(ranker)), load_encoder(str(tiny_encoder)), rows)

    again = run(corpus, "--edition", place, "--ranker", ranker, "--classifier", tiny_classifier)
    assert "is complete: nothing to do" in again.stdout
    without = run(corpus, "--edition", place)
    assert without.returncode == 2
    assert "another configuration" in without.stderr

    packed = CliRunner().invoke(app, ["pack", str(place), "--ranker", str(ranker)])
    assert packed.exit_code == 0, packed.output
    assert open_ranker(str(ranker)).fusion.read_bytes() == (place / RANKER).read_bytes()


def online_is_as_written(place: Path, ranker: RankerFiles, encoder: Encoder, rows: list[dict]) -> None:
    """Keyphrases of every document asked for online are those of the edition; so are the cards, labels and all."""
    indexer = Indexer.open(str(place))
    assert indexer.needs_trained
    assert indexer.ranker == ranker.identity
    values = [indexer.normalise(row["title"], row["abstract"], None, row["id"]) for row in rows]
    vectors = encoder.encode(indexer.texts(values))
    with pytest.raises(ValueError, match="trained: this edition was made with a trained ranker"):
        indexer.suggest(values, vectors)
    texts = [f"{value['title']}{ranker.separator}{value['abstract']}" for value in values]
    reader, head = load_encoder(str(ranker.encoder)), read_head(ranker.spans)
    tokens, places = reader.tokenise_words(texts, ranker.separator)
    trained, products = reader.project(tokens, head.projection)
    spans = span_scores(products, head.bias, tokens.offsets, places)
    for wrong, message in (
        (Trained(trained), "trained: this edition was made with span scores"),
        (Trained(trained[1:], spans), "trained: 199 for 200 documents"),
        (Trained(trained, spans.slice(0, 199)), "trained: spans of 199 for 200 documents"),
        (Trained(trained, spans._replace(scores=spans.scores[:, 1:])), "trained: dimension 4"),
        (Trained(trained, spans._replace(scores=np.full_like(spans.scores, np.nan))), "trained: row 0"),
    ):
        with pytest.raises(ValueError, match=message):
            indexer.suggest(values, vectors, wrong)
    indexer.warm_up()
    found = indexer.suggest(values, vectors, Trained(trained, spans))
    edition = editions.open(place)
    written = edition.table("keyphrases").to_table()["keyphrases"].to_pylist()
    for some, others in zip(found, written, strict=True):
        assert [k["phrase"] for k in some] == [k["phrase"] for k in others]
        np.testing.assert_allclose([k["score"] for k in some], [k["score"] for k in others], atol=1e-3)
    index, ids = SearchIndex.open(str(place)), [row["id"] for row in rows[::20]]
    assert {i: index.card(i, 0).card for i in ids} == cards(edition, ids)
    assert all(index.card(i, 0).card.label for i in ids)


def test_a_foreign_directory_is_one_line(run: Run, corpus: Path, ranker: Path, tmp_path: Path) -> None:
    shutil.copytree(ranker, tmp_path / "damaged")
    (tmp_path / "damaged" / "seen.npy").write_bytes(b"")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "ranker.json").write_text(json.dumps({"kind": "other"}))
    for folder, message in (("absent", "no directory"), ("damaged", "seen.npy is not"), ("other", "does not describe")):
        result = run(corpus, "--edition", tmp_path / "e", "--ranker", tmp_path / folder)
        assert result.returncode == 2, result.stdout + result.stderr
        assert len(result.stderr.strip().splitlines()) == 1
        assert message in result.stderr
        assert not (tmp_path / "e").exists()


def made(place: Path, models: dict, quality: dict) -> str:
    place.mkdir()
    manifest = {"format": editions.FORMAT, "models": models, "quality": quality, "files": {}}
    (place / "manifest.json").write_text(json.dumps(manifest))
    return str(place)


def test_only_what_was_fitted_with_the_ranker_is_packed(ranker: Path, tmp_path: Path) -> None:
    own = {"ranker": open_ranker(str(ranker)).identity}
    cases = [
        (made(tmp_path / "plain", {}, {"calibrated": True}), "was not made with the ranker"),
        (made(tmp_path / "rule", own, {"system": "prior", "calibrated": False}), "has fitted no fusion"),
    ]
    for place, message in cases:
        result = CliRunner().invoke(app, ["pack", place, "--ranker", str(ranker)])
        assert result.exit_code == 2
        assert message in result.output
    assert open_ranker(str(ranker)).fusion is None
