"""Fitting beside a trained ranker: only on documents that its encoder has not seen."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from keyphrases.keyphrase_worlds import build_suggester, table
from ranking.ranking_worlds import papers

from kartoteka.encoding.spans import LONGEST, Spans
from kartoteka.keyphrases.dense import open_vectors, write_vectors
from kartoteka.keyphrases.hashing import hash_words
from kartoteka.keyphrases.ranker import Ranker
from kartoteka.keyphrases.settings import KeyphraseSettings
from kartoteka.keyphrases.spans import Trained
from kartoteka.keyphrases.suggest import Suggester
from kartoteka.keyphrases.train import train
from kartoteka.lexical.settings import LexicalSettings
from kartoteka.ranking.directory import SEEN, RankerFiles
from kartoteka.stages.fit import QUALITY, FitRanker
from kartoteka.stages.spans import spans_array
from kartoteka.stages.suggest import RANKER, Sources
from kartoteka.storage import Storage
from kartoteka.vectors.settings import VectorSettings

SETTINGS = KeyphraseSettings(rounds=5, min_training=40, training_documents=200, neighbours=10, retrieval="lexical")


@dataclass(frozen=True)
class World(Sources):
    """Sources whose suggester is there already."""

    suggester: Suggester | None = None

    def open(self, ranker: bool = True) -> Suggester:
        return self.suggester


def unit(n: int, seed: int) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(n, 16)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def suggester(tmp_path_factory: pytest.TempPathFactory) -> Suggester:
    folder = tmp_path_factory.mktemp("archive")
    plain = build_suggester(papers(200), folder, SETTINGS)
    (folder / "trained").mkdir()
    write_vectors(folder / "trained", plain.archive, 16, [unit(200, 0)], [unit(plain.archive.phrases, 1)])
    return Suggester(plain.archive, plain.lexical, SETTINGS, trained=open_vectors(folder / "trained"))


@pytest.fixture
def fit(suggester: Suggester, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Fit beside an encoder that knows the first `count` documents; gives the ids it learned from and the storage."""
    records = papers(200)
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(unit(200, 0).reshape(-1)), 16)
    rows = table(records).append_column("vector", vectors).append_column("trained", vectors)
    rows = rows.append_column("spans", spans_array(Spans(np.zeros((200, LONGEST)), np.arange(201))))
    rows = rows.append_column("own", pa.array(np.arange(200)))
    monkeypatch.setattr(FitRanker, "_sample", lambda self, storage: rows)
    learned: list[str] = []

    def fitted(*arguments):
        learned.extend(arguments[1]["id"].to_pylist())
        return train(*arguments)

    monkeypatch.setattr("kartoteka.keyphrases.train.train", fitted)

    def run(count: int, fusion: Path | None = None, settings: KeyphraseSettings = SETTINGS):
        np.save(tmp_path / SEEN, np.sort(hash_words([r["id"] for r in records[:count]])))
        files = RankerFiles(tmp_path, tmp_path / "encoder", "abc", ". ", 16, fusion, None)
        world = World(str(tmp_path), settings, LexicalSettings(), VectorSettings(), suggester)
        FitRanker(world, {"part": 0}, 200, files)(Storage(tmp_path))
        return learned, Storage(tmp_path)

    return run


def test_only_documents_that_the_encoder_has_not_seen_are_learned_from_and_measured(fit) -> None:
    learned, storage = fit(150)
    assert learned == [r["id"] for r in papers(200)[150:]]
    quality = storage.get_json(QUALITY)
    assert (quality["system"], quality["calibrated"], quality["documents"]) == ("ranker", True, 50)
    assert {"cosine_ranker", "span_best"} < set(Ranker.open(storage.local(RANKER)).names)


def test_where_too_few_are_left_the_fusion_that_came_with_the_encoder_ranks(fit, tmp_path: Path) -> None:
    _, storage = fit(150)
    fusion = tmp_path / "fusion.npz"
    fusion.write_bytes(storage.get(RANKER))
    storage.delete(RANKER)
    learned, _ = fit(170, fusion)
    assert len(learned) == 50  # of the first fit alone
    assert storage.get_json(QUALITY) == {"system": "taken_over", "calibrated": False}
    assert storage.get(RANKER) == fusion.read_bytes()


def test_a_fusion_of_other_features_is_not_taken_over(fit, suggester: Suggester, tmp_path: Path) -> None:
    fusions = []
    for trained in (None, Trained(unit(200, 0))):  # without what the encoder says, or what its head does
        own = train(suggester, table(papers(200)), None, np.arange(200), trained)
        fusions.append(tmp_path / f"fusion-{len(fusions)}.npz")
        fusions[-1].write_bytes(own.ranker.to_bytes())
    for fusion in (*fusions, None):
        learned, storage = fit(200, fusion)
        assert not learned
        assert storage.get_json(QUALITY) == {"system": "prior", "calibrated": False}
        assert not storage.exists(RANKER)
