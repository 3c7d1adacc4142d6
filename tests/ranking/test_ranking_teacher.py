"""What another ranker says of the spans, beside the keyphrases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from ranking_arrays import made_arrays
from ranking_worlds import build_edition, make_ranker, papers

from kartoteka.encoding.encoder import load_encoder
from kartoteka.encoding.spans import MISSING, Spans, read_head, span_scores
from kartoteka.keyphrases.settings import KeyphraseSettings
from kartoteka.lexical.settings import LexicalSettings
from kartoteka.ranking import data
from kartoteka.ranking.directory import open_ranker
from kartoteka.ranking.labels import LEFT_OUT, RIGHT, WRONG
from kartoteka.ranking.settings import RankerSettings, StudentSettings
from kartoteka.ranking.spans import Words, span_losses
from kartoteka.ranking.split import Split, split_of
from kartoteka.ranking.task import RankerTask
from kartoteka.ranking.teacher import mixed
from kartoteka.storage import Storage
from kartoteka.training.run import describe
from kartoteka.training.task import data_of

SETTINGS = RankerSettings(neighbours=20, teacher_weight=0.75, student=StudentSettings(layers=[1], vocabulary=60))


def make_teacher(folder: Path, encoder: Path, tokens: int, seen: Sequence[str] = (), seed: int | None = 3) -> Path:
    return make_ranker(folder, encoder, RankerSettings(separator=" | "), ["x", *seen], tokens=tokens, seed=seed)


def task_of(edition: Path, encoder: Path, teacher: Path | None, settings: RankerSettings = SETTINGS) -> RankerTask:
    asked = str(teacher) if teacher is not None else None
    return RankerTask(str(edition), str(encoder), settings, KeyphraseSettings(), LexicalSettings(), asked)


def test_what_is_to_be_learned_lies_between_keyphrase_and_teacher() -> None:
    labels = np.array([[RIGHT, WRONG], [WRONG, LEFT_OUT], [RIGHT, WRONG]], np.float16)
    spans = Spans(np.array([[0.0, -2.0], [3.0, 3.0]], np.float32), np.array([0, 2]))
    found = mixed(labels, spans, 0.25)
    wanted = [[0.75 + 0.125, 0.25 / (1 + np.e**2)], [0.25 / (1 + np.e**-3), LEFT_OUT], [RIGHT, WRONG]]
    np.testing.assert_allclose(found, wanted, atol=1e-3)  # the teacher reads two words of three
    beyond = Spans(np.array([[0.0, MISSING], [0.0, 0.0], [0.0, 0.0], [9.0, 9.0]], np.float32), np.array([0, 4]))
    assert mixed(labels, beyond, 1.0).tolist() == [[0.5, WRONG], [0.5, LEFT_OUT], [0.5, 0.5]]


def test_the_loss_is_least_where_the_scores_say_what_the_labels_say() -> None:
    words = Words(*(torch.from_numpy(values) for values in made_arrays().words))
    soft = torch.where(words.labels >= 0, torch.rand(words.labels.shape) * 0.8 + 0.1, -1.0).half()
    words = words._replace(labels=soft)
    same = torch.where(soft >= 0, torch.logit(soft.float().clamp(0.01, 0.99)), 7.0).requires_grad_()
    loss = span_losses(same, words)
    loss.sum().backward()
    assert same.grad.abs().max() < 1e-5
    kept = soft.float().clamp(min=0)
    entropy = torch.where(soft >= 0, -(kept * torch.log(kept) + (1 - kept) * torch.log(1 - kept)), 0.0).sum(1)
    for number in range(len(words.sizes)):
        start, stop = words.offsets[number : number + 2].tolist()
        assert loss[number].item() == pytest.approx(float(entropy[start:stop].sum()), rel=1e-4)


@pytest.fixture(scope="module")
def plain(tmp_path_factory, tiny_encoder: Path, ray_session: str) -> tuple[Path, Storage]:
    """An edition, and the data of a run without a teacher."""
    folder = tmp_path_factory.mktemp("plain")
    edition = build_edition(papers(120), folder / "edition", cuts=(50,))
    task_of(edition, tiny_encoder, None).prepare(Storage(folder / "run"))
    return edition, Storage(folder / "run")


def test_training_documents_are_read_by_the_teacher(
    plain: tuple[Path, Storage], tmp_path: Path, tiny_encoder: Path
) -> None:
    """Against its scores computed here; validation documents keep their keyphrases alone."""
    (edition, untaught), taught = plain, Storage(tmp_path / "taught")
    task = task_of(edition, tiny_encoder, make_teacher(tmp_path, tiny_encoder, 100))
    task.prepare(taught)
    hard, soft = (data.open_arrays(data_of(run).uri) for run in (untaught, taught))
    np.testing.assert_array_equal(hard.numbers, soft.numbers)
    assert (hard.words.labels.dtype, soft.words.labels.dtype) == (np.int8, np.float16)
    files = open_ranker(task.teacher)
    encoder, head = load_encoder(str(files.encoder)), read_head(files.spans)
    records, ids = {r["id"]: r for r in papers(120)}, data.open_archive(str(edition)).ids
    training, changed, cut = set(soft.training.tolist()), 0, 0
    for row, number in enumerate(soft.numbers.tolist()):
        own, other = soft.words.of(np.array([row])).labels, hard.words.of(np.array([row])).labels
        if row in training:
            record = records[ids[number].as_py()]
            tokens, places = encoder.tokenise_words([f"{record['title']} | {record['abstract']}"], " | ")
            _, products = encoder.project(tokens, head.projection)
            spans = span_scores(products, head.bias, tokens.offsets, places)
            np.testing.assert_allclose(own, mixed(other.astype(np.float16), spans, 0.75), atol=2e-2)
            changed += (own != other).any()
            cut += len(spans.scores) < len(own)
            assert (own[len(spans.scores) :] == other[len(spans.scores) :]).all()
        else:
            np.testing.assert_array_equal(own, other)
    assert changed > 5
    assert 0 < cut < len(training)
    folder = tmp_path / "exported"
    folder.mkdir()
    task.export(taught, task.build(taught), folder)
    seen = open_ranker(str(folder)).has_seen([*records, "x", "y"])
    assert seen[-2:].tolist() == [True, False]  # the teacher has told of x
    assert seen.sum() == len(soft.numbers) + 1
    assert any("another ranker" in line for line in task.card(taught)["data"])


def test_few_documents_are_learned_from() -> None:
    ids = [f"d{number}" for number in range(3000)]
    for settings in (SETTINGS, SETTINGS.model_copy(update={"validation_documents": 20, "fusion_share": 0.1})):
        every = split_of(ids, len(ids), settings, KeyphraseSettings())
        some = split_of(ids, len(ids), settings.model_copy(update={"documents": 400}), KeyphraseSettings())
        assert 340 < (some == Split.TRAINING).sum() < 460
        changed = some != every
        assert (every[changed] == Split.TRAINING).all()
        assert (some[changed] == Split.ASIDE).all()
    more = SETTINGS.model_copy(update={"documents": 10**6})
    assert (split_of(ids, len(ids), more, KeyphraseSettings()) != Split.ASIDE).all()


def test_a_teacher_that_does_not_do(tmp_path: Path, tiny_encoder: Path) -> None:
    edition, run = build_edition(papers(30), tmp_path / "edition"), Storage(tmp_path / "run")
    teacher = make_teacher(tmp_path, tiny_encoder, 50)
    vectors = SETTINGS.model_copy(update={"span_weight": 0.0})
    with pytest.raises(ValueError, match=r"teacher: .*span_weight"):
        task_of(edition, tiny_encoder, teacher, vectors).prepare(run)
    with pytest.raises(ValueError, match=r"^teacher: .*there is no directory"):
        task_of(edition, tiny_encoder, tmp_path / "absent").prepare(run)
    headless = make_teacher(tmp_path / "headless", tiny_encoder, 50, seed=None)
    with pytest.raises(ValueError, match="no scores of spans"):
        task_of(edition, tiny_encoder, headless).prepare(run)
    assert not (tmp_path / "run" / "data").exists()


def test_a_teacher_must_not_have_seen_what_the_fusion_learns_from(tmp_path: Path, tiny_encoder: Path) -> None:
    records = papers(60)
    edition, ids = build_edition(records, tmp_path / "edition"), [record["id"] for record in records]
    split = split_of(ids, len(ids), SETTINGS, KeyphraseSettings())
    fusion = [name for name, kind in zip(ids, split, strict=True) if kind == Split.FUSION]
    teacher = make_teacher(tmp_path, tiny_encoder, 50, seen=fusion[:2])
    with pytest.raises(ValueError, match=f"teacher: it has seen 2 of the {len(fusion)} documents"):
        task_of(edition, tiny_encoder, teacher).prepare(Storage(tmp_path / "run"))


def test_another_teacher_is_another_run_and_another_place_is_not(
    plain: tuple[Path, Storage], tmp_path: Path, tiny_encoder: Path
) -> None:
    edition, untaught = plain
    task = task_of(edition, tiny_encoder, make_teacher(tmp_path, tiny_encoder, 50))
    with pytest.raises(ValueError, match="another configuration"):
        task.prepare(untaught)
    assert describe(replace(task, gpus=1.0)) == describe(task) != describe(replace(task, teacher=None))
    assert RankerTask("e", "m", SETTINGS, task.keyphrases, task.lexical, "default").teacher == "default"
