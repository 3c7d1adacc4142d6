"""A ranker trained before, as what training begins from."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from ranking_worlds import build_edition, make_ranker, papers

from kartoteka.encoding.encoder import load_encoder
from kartoteka.encoding.spans import read_head
from kartoteka.keyphrases.settings import KeyphraseSettings
from kartoteka.lexical.settings import LexicalSettings
from kartoteka.ranking import data
from kartoteka.ranking.directory import DEFAULT_RANKER, open_ranker
from kartoteka.ranking.settings import RankerSettings, StudentSettings
from kartoteka.ranking.split import Split, split_of
from kartoteka.ranking.start import open_start
from kartoteka.ranking.task import RankerTask
from kartoteka.storage import Storage
from kartoteka.training.task import data_of

SETTINGS = RankerSettings(neighbours=20, max_document_tokens=60)


def task_of(edition: Path, encoder: Path | str, settings: RankerSettings = SETTINGS) -> RankerTask:
    return RankerTask(str(edition), str(encoder), settings, KeyphraseSettings(), LexicalSettings())


def ranker_in(folder: Path, encoder: Path, seen: tuple[str, ...] = (), seed: int | None = 3) -> Path:
    return make_ranker(folder, encoder, SETTINGS, ["x", *seen], tokens=60, seed=seed)


def test_training_goes_on_from_a_ranker(tmp_path: Path, tiny_encoder: Path, ray_session: str) -> None:
    """Its vectors and its scores of spans are where the new one begins; what it has seen counts as seen."""
    edition, run = build_edition(papers(80), tmp_path / "edition", cuts=(30,)), Storage(tmp_path / "run")
    before = open_ranker(str(ranker_in(tmp_path, tiny_encoder)))
    fewer = SETTINGS.model_copy(update={"student": StudentSettings(vocabulary=40)})
    task = task_of(edition, before.folder, fewer)
    task.prepare(run)
    folder = tmp_path / "exported"
    folder.mkdir()
    task.export(run, task.build(run), folder)
    after = open_ranker(str(folder))
    for old, new in zip(read_head(before.spans), read_head(after.spans), strict=True):
        np.testing.assert_allclose(new, old, rtol=1e-6)
    texts = ["training of neural network", "we study the survey of graph theory for urban planning"]
    old, new = (load_encoder(str(ranker.encoder), precision="fp32").encode(texts) for ranker in (before, after))
    np.testing.assert_allclose(new, old, atol=1e-3)  # float16
    ids = data.open_archive(str(edition)).ids.to_pylist()
    learned = data.open_arrays(data_of(run).uri).numbers
    seen = after.has_seen([*ids, "x", "y"])
    assert seen[-2:].tolist() == [True, False]
    assert seen.sum() == len(learned) + 1
    assert seen[learned].all()
    assert any("trained before" in line for line in task.card(run)["data"])


def test_the_card_names_what_it_all_began_from(tmp_path: Path, tiny_encoder: Path, ray_session: str) -> None:
    edition, before = build_edition(papers(40), tmp_path / "edition"), tiny_encoder
    for generation in range(3):
        run = Storage(tmp_path / f"run-{generation}")
        task = task_of(edition, before)
        task.prepare(run)
        before = tmp_path / f"ranker-{generation}"
        before.mkdir()
        task.export(run, task.build(run), before)
    base = open_start(str(tiny_encoder)).identity
    assert open_ranker(str(before)).base == base
    assert task.card(run)["base"].endswith(f"which began as {base['name']} (SHA-256 of the weights {base['sha256']})")


def test_without_scores_of_spans_the_head_stays_behind(tmp_path: Path, tiny_encoder: Path, ray_session: str) -> None:
    edition, run = build_edition(papers(40), tmp_path / "edition"), Storage(tmp_path / "run")
    task = task_of(edition, ranker_in(tmp_path, tiny_encoder), SETTINGS.model_copy(update={"span_weight": 0.0}))
    task.prepare(run)
    assert not list(data_of(run).local("student").glob("spans*"))
    assert task.build(run).scorer is None


def test_a_start_is_told_by_what_is_in_it(tmp_path: Path, tiny_encoder: Path) -> None:
    before = ranker_in(tmp_path, tiny_encoder)
    moved = shutil.copytree(before, tmp_path / "elsewhere")
    other = ranker_in(tmp_path / "other", tiny_encoder, seed=4)
    starts = [open_start(str(path)).identity for path in (before, moved, other)]
    assert starts[0] == starts[1] != starts[2]
    assert set(open_start(str(tiny_encoder)).identity) == {"name", "sha256"}
    assert open_start(DEFAULT_RANKER).ranker is not None
    assert task_of(tmp_path, DEFAULT_RANKER).encoder == DEFAULT_RANKER


def test_starts_that_do_not_do(tmp_path: Path, tiny_encoder: Path) -> None:
    records = papers(60)
    edition, ids = build_edition(records, tmp_path / "edition"), [record["id"] for record in records]
    split = split_of(ids, len(ids), SETTINGS, KeyphraseSettings())
    fusion = tuple(name for name, kind in zip(ids, split, strict=True) if kind == Split.FUSION)
    run = Storage(tmp_path / "run")
    with pytest.raises(ValueError, match=f"^encoder: it has seen 3 of the {len(fusion)} documents"):
        task_of(edition, ranker_in(tmp_path / "seen", tiny_encoder, fusion[:3])).prepare(run)
    torn = ranker_in(tmp_path / "torn", tiny_encoder)
    (torn / "spans.safetensors").write_bytes(b"")
    with pytest.raises(ValueError, match=r"^encoder: .*spans\.safetensors is not the file"):
        task_of(edition, torn).prepare(run)
    with pytest.raises(ValueError, match=r"^encoder: .*there is no directory"):
        task_of(edition, tmp_path / "absent").prepare(run)
    assert not (tmp_path / "run" / "data").exists()
