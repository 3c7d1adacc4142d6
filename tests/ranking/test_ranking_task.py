"""The ranker's task on a small edition, from its documents to a directory that others load."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from ranking_worlds import build_edition, papers

from kartoteka.encoding.encoder import load_encoder
from kartoteka.encoding.spans import read_head
from kartoteka.encoding.tokens import Tokens
from kartoteka.keyphrases.settings import KeyphraseSettings
from kartoteka.lexical.settings import LexicalSettings
from kartoteka.ranking import data
from kartoteka.ranking.directory import open_ranker
from kartoteka.ranking.settings import RankerSettings, StudentSettings
from kartoteka.ranking.split import Split
from kartoteka.ranking.task import RankerTask
from kartoteka.storage import Storage
from kartoteka.training.task import Share, data_of

SETTINGS = RankerSettings(
    neighbours=20, max_document_tokens=100, distil_weight=0.5,
    student=StudentSettings(layers=[1], vocabulary=60, positions=100),
)  # fmt: skip


def task_of(edition: Path, encoder: Path, settings: RankerSettings = SETTINGS) -> RankerTask:
    return RankerTask(str(edition), str(encoder), settings, KeyphraseSettings(), LexicalSettings())


@pytest.fixture(scope="module")
def prepared(tmp_path_factory, tiny_encoder: Path, ray_session: str) -> tuple[RankerTask, Storage, dict]:
    """A task with its data made on the session's cluster."""
    folder = tmp_path_factory.mktemp("ranker")
    task = task_of(build_edition(papers(200), folder / "edition", cuts=(90,), width=32), tiny_encoder)
    run = Storage(folder / "run")
    return task, run, task.prepare(run)


def tensors(batch: dict[str, np.ndarray]) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(np.ascontiguousarray(value)) for name, value in batch.items()}


def test_every_annotated_document_is_accounted_for(prepared) -> None:
    task, run, facts = prepared
    assert sum(facts[kind.name.lower()] for kind in Split) == facts["archive_documents"] == 200
    arrays = data.open_arrays(data_of(run).uri)
    assert len(arrays.numbers) == facts["training"] + facts["validation"] == len(arrays.seen)
    assert task.examples(run) == facts["training"] == len(arrays.training)
    assert len(arrays.phrase_offsets) - 1 == facts["archive_phrases"]
    assert not (run.local("data") / "_build").exists()


def test_preparing_again_does_nothing(prepared) -> None:
    task, run, facts = prepared
    files = {file: file.stat().st_mtime_ns for file in run.local("data").rglob("*")}
    assert task.prepare(run) == facts
    assert {file: file.stat().st_mtime_ns for file in run.local("data").rglob("*")} == files


def test_other_settings_of_the_loss_keep_the_data_others_do_not(prepared, tiny_encoder: Path) -> None:
    task, run, facts = prepared
    warmer = task_of(task.edition, tiny_encoder, SETTINGS.model_copy(update={"temperature": 0.1}))
    assert warmer.prepare(run) == facts
    wider = task_of(task.edition, tiny_encoder, SETTINGS.model_copy(update={"neighbours": 30}))
    with pytest.raises(ValueError, match="another configuration"):
        wider.prepare(run)


def test_texts_are_what_the_model_reads_of_documents_and_phrases(prepared) -> None:
    task, run, _ = prepared
    arrays = data.open_arrays(data_of(run).uri)
    encoder = load_encoder(str(run.local("data/student")), precision="fp32")
    records = {r["id"]: r for r in papers(200)}
    for number in range(0, task.examples(run), 17):
        row = arrays.training[number]
        record = records[task.label(run, number)]
        wanted = encoder.tokenise([f"{record['title']}. {record['abstract']}"]).ids
        np.testing.assert_array_equal(arrays.tokens[slice(*arrays.token_offsets[row : row + 2])], wanted)
    surfaces = data.open_archive(task.edition).surfaces.to_pylist()
    wanted = encoder.tokenise([text[:60] for text in surfaces])
    short = np.flatnonzero(wanted.lengths <= SETTINGS.max_phrase_tokens)
    assert len(short)
    for phrase in short.tolist():
        found = arrays.phrase_tokens[slice(*arrays.phrase_offsets[phrase : phrase + 2])]
        np.testing.assert_array_equal(found, wanted.ids[slice(*wanted.offsets[phrase : phrase + 2])])
    assert np.diff(arrays.phrase_offsets).max() <= SETTINGS.max_phrase_tokens


def test_a_few_steps_lower_the_loss_and_raise_the_metric(prepared) -> None:
    task, run, _ = prepared
    task = pickle.loads(pickle.dumps(task))  # as the workers get it
    torch.manual_seed(0)
    module = task.build(run)
    optimiser = torch.optim.Adam(module.parameters(), 3e-3)
    before = task.validate(run, module.eval(), Share(0, 1, 0))
    losses, spans = [], []
    for step in range(30):
        numbers = np.random.default_rng(step).choice(task.examples(run), 24, replace=False)
        loss, figures = module(tensors(task.collate(run, numbers, Share(0, 1, 0, step))))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(figures["ranking"]))
        spans.append(float(figures["spans"]))
    after = task.validate(run, module.eval(), Share(0, 1, 0))
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])
    assert np.mean(spans[-5:]) < 0.8 * np.mean(spans[:5])
    for metric in ("f1_at_5", "span_ap", task.metric):
        mean = [total / count for total, count in (before[metric], after[metric])]
        assert mean[1] > mean[0] + 0.1, metric
    assert after["pool_recall"] == before["pool_recall"]


def test_validation_is_the_sum_of_the_workers_and_its_figures_are_right(prepared) -> None:
    task, run, _ = prepared
    module = task.build(run).eval()
    whole = task.validate(run, module, Share(0, 1, 0))
    arrays = data.open_arrays(data_of(run).uri)
    encoder = load_encoder(str(run.local("data/student")), precision="fp32")
    archive = data.open_archive(task.edition)
    records = {r["id"]: r for r in papers(200)}
    total = {5: 0.0, 20: 0.0}
    for row in arrays.validation:
        record = records[archive.ids[int(arrays.numbers[row])].as_py()]
        pool = arrays.pool[slice(*arrays.pool_offsets[row : row + 2])]
        rank = arrays.rank[slice(*arrays.pool_offsets[row : row + 2])]
        wanted = set(arrays.positives[slice(*arrays.positive_offsets[row : row + 2])].tolist())
        document = encoder.encode([f"{record['title']}. {record['abstract']}"])[0]
        ids = [arrays.phrase_tokens[slice(*arrays.phrase_offsets[p : p + 2])] for p in pool]
        cosine = encoder.encode_tokens(Tokens.from_lists(ids)) @ document
        for k in total:
            order = [p for _, p, r in sorted(zip(-cosine, pool, rank, strict=True)) if r <= k]
            hits = len(wanted & set(order[:5]))
            total[k] += 2 * hits / (len(order[:5]) + len(wanted))
    assert whole["f1_at_5"] == (pytest.approx(total[20], abs=0.05), len(arrays.validation))
    assert whole["f1_at_5_of_5_neighbours"][0] == pytest.approx(total[5], abs=0.05)


def test_quality_is_the_mean_of_what_is_learned(prepared) -> None:
    task, run, _ = prepared
    arrays = data.open_arrays(data_of(run).uri)
    module = task.build(run).eval()
    torch.nn.init.normal_(module.scorer.weight, std=0.1)
    for changed in ({}, {"ranking_weight": 0.0}, {"span_weight": 0.0}):
        module.settings = SETTINGS.model_copy(update=changed)
        parts = task.validate(run, module, Share(0, 1, 0))
        mean = {name: total / count for name, (total, count) in parts.items()}
        learned = [mean[name] for name in ("f1_at_5", "span_ap") if name in mean]
        assert len(learned) == 2 - len(changed)
        assert mean["quality"] == pytest.approx(np.mean(learned))
    module.settings = SETTINGS.model_copy(update={"ranking_weight": 0.0})  # vectors of phrases need both workers
    whole, *halves = (task.validate(run, module, share) for share in (Share(0, 1, 0), Share(0, 2, 0), Share(1, 2, 0)))
    for name, part in whole.items():
        assert np.sum([half[name] for half in halves], axis=0) == pytest.approx(part)
    with_spans = [(arrays.words.of(np.array([row])).labels > 0).any() for row in arrays.validation]
    assert task.validate(run, task.build(run).eval(), Share(0, 1, 0))["span_ap"][1] == sum(with_spans) > 0


def test_the_exported_directory_is_a_plain_model(prepared, tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer

    task, run, facts = prepared
    module = task.build(run).eval()
    folder = tmp_path / "model"
    folder.mkdir()
    task.export(run, module, folder)
    ranker = open_ranker(str(folder))
    texts = ["training of neural network", "reactor core"]
    ours = load_encoder(str(ranker.encoder), precision="fp32").encode(texts)
    theirs = SentenceTransformer(str(ranker.encoder), device="cpu").encode(texts)
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    trained = load_encoder(str(run.local("data/student")), precision="fp32").encode(texts)
    assert ((ours * trained).sum(1) > 0.9999).all()  # float16
    for exported, learned in zip(read_head(ranker.spans), module.scorer.head(), strict=True):
        np.testing.assert_array_equal(exported, learned)
    split = data.open_arrays(data_of(run).uri)
    ids = data.open_archive(task.edition).ids.to_pylist()
    seen = ranker.has_seen(ids)
    assert seen.sum() == facts["training"] + facts["validation"]
    assert seen[split.numbers].all()
    assert not ranker.has_seen(["another"])[0]
    card = task.card(run)
    assert card["languages"] == ["en"]
    assert str(facts["training"]) in card["data"][0]


def test_settings_and_editions_that_do_not_do(tmp_path: Path, tiny_encoder: Path, ray_session: str) -> None:
    run = Storage(tmp_path / "run")
    nobody = [{**record, "keyphrases": []} for record in papers(5)]
    with pytest.raises(ValueError, match="no annotated document"):
        task_of(build_edition(nobody, tmp_path / "nobody"), tiny_encoder).prepare(run)
    with pytest.raises(ValueError, match="too few"):
        task_of(build_edition(papers(1), tmp_path / "one"), tiny_encoder).prepare(Storage(tmp_path / "run-one"))
    with pytest.raises(ValueError, match="has no documents"):
        task_of(tmp_path / "absent", tiny_encoder).prepare(run)
    assert not (tmp_path / "run" / "data" / "arrays").exists()


def test_a_teacher_must_fit(prepared, tmp_path: Path, tiny_encoder: Path) -> None:
    _, run, _ = prepared
    for width, message in ((0, "no vectors"), (8, "32")):
        edition = build_edition(papers(30), tmp_path / f"edition-{width}", width=width)
        other = task_of(edition, tiny_encoder)
        with pytest.raises(ValueError, match=f"distil_weight.*{message}"):
            other.collate(run, np.arange(2), Share(0, 1, 0))


def test_settings_from_a_file() -> None:
    parsed = RankerSettings.parse({"masked": False, "student": {"layers": [0, 2], "vocabulary": 9000}})
    assert parsed.student.layers == [0, 2]
    with pytest.raises(ValueError, match="nothing to learn"):
        RankerSettings.parse({"span_weight": 0.0, "ranking_weight": 0.0})
    with pytest.raises(ValueError, match="negatives"):
        RankerSettings.parse({"negatives": -1})
    assert json.loads(parsed.model_dump_json())["masked"] is False
