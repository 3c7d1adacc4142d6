"""The task from its figures to a directory that others load."""

from __future__ import annotations

import copy
import json
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sentiment.sentiment_worlds import SMALL, learn_alone, opinion, tensors
from sklearn.metrics import confusion_matrix, f1_score
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from kartoteka.sentiment import data
from kartoteka.sentiment.classify import open_classifier
from kartoteka.sentiment.task import SentimentTask
from kartoteka.sentiment.temperature import fit_temperature, nll
from kartoteka.sentiment.texts import CLASSES
from kartoteka.sentiment.validation import logits_of
from kartoteka.storage import Storage
from kartoteka.training.run import describe
from kartoteka.training.task import Share


@pytest.fixture(scope="module")
def learned(small_run):
    """The module after a few steps, neither ignorant nor perfect."""
    task, run = small_run
    return learn_alone(task, run, steps=8)


def test_figures_are_scikit_learns(small_run, learned):
    task, run = small_run
    figures = {name: part[0] / part[1] for name, part in task.validate(run, learned, Share(0, 1, 0)).items()}
    examples = data.examples_of(run)
    rows = np.flatnonzero(examples.validation)
    gold, given_ = examples.label[rows], logits_of(examples, learned, rows).argmax(1).numpy()
    assert figures["macro_f1"] == pytest.approx(f1_score(gold, given_, average="macro"))
    assert [figures[f"f1_{name}"] for name in CLASSES] == pytest.approx(f1_score(gold, given_, average=None).tolist())
    assert figures["accuracy"] == pytest.approx((gold == given_).mean())
    matrix = confusion_matrix(gold, given_, normalize="true")
    assert [[figures[f"{a}_as_{b}"] for b in CLASSES] for a in CLASSES] == pytest.approx(matrix)


def test_the_export_is_a_plain_directory_with_calibrated_probabilities(small_run, learned, tmp_path):
    task, run = small_run
    examples = data.examples_of(run)
    rows = np.flatnonzero(examples.validation)
    module = copy.deepcopy(learned)  # the export changes the weights
    with torch.no_grad():
        logits = logits_of(examples, module, rows).numpy()
    gold = examples.label[rows].astype(np.int64)
    task.export(run, module, tmp_path)
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path, dtype=torch.float32)
    assert model.config.id2label == dict(enumerate(CLASSES))
    held = run.table(data.VALIDATION)["text"].to_pylist()
    tokens = AutoTokenizer.from_pretrained(tmp_path)(held, padding=True, return_tensors="pt")
    theirs = model(input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"]).logits.detach().numpy()
    cooled = logits / fit_temperature(logits, gold)
    np.testing.assert_allclose(theirs, cooled, atol=0.02 * np.abs(cooled).max())
    assert nll(theirs, gold) < nll(logits, gold) + 1e-3
    ours, vectors = open_classifier(str(tmp_path)).classify(held)
    np.testing.assert_allclose(ours, torch.softmax(torch.from_numpy(theirs), 1).numpy(), atol=1e-4)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    size = sum(file.stat().st_size for file in tmp_path.glob("*.safetensors"))
    assert size < 2.2 * sum(p.numel() for p in model.parameters()) + 10_000


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1000), hot=st.floats(0.2, 8))
def test_the_temperature_is_the_best_of_a_grid(seed, hot):
    rng = np.random.default_rng(seed)
    honest = rng.normal(size=(300, 3)) * 2
    share = np.exp(honest) / np.exp(honest).sum(1, keepdims=True)
    labels = np.array([rng.choice(3, p=row) for row in share])
    found = fit_temperature(honest * hot, labels)
    grid = [nll(honest * hot / t, labels) for t in np.geomspace(0.06, 19, 200)]
    assert nll(honest * hot / found, labels) <= min(grid) + 1e-6


def test_a_model_that_is_always_right_has_a_temperature_all_the_same():
    assert 0.05 <= fit_temperature(np.eye(3) * 5, np.arange(3)) < 1


def test_the_card_and_the_run_tell_what_was_given(small_run):
    task, run = small_run
    card = task.card(run)
    assert "120 texts learned from, 0 of them with pseudo-labels; 30 held out" in card["data"][0]
    assert task.files[0] not in json.dumps(card)  # a file's name is enough: its place is nobody's business
    assert json.loads(json.dumps(describe(task)))["settings"]["temperature"] == SMALL.temperature
    assert pickle.loads(pickle.dumps(task)) == task
    assert task.label(run, 0) in data.names_of(run)


def test_a_given_encoder_gets_a_head(small_run, tiny_encoder, tmp_path):
    task = SentimentTask(small_run[0].files, str(tiny_encoder), None, SMALL)
    run = Storage(tmp_path / "run")
    task.prepare(run)
    module = task.build(run)
    assert module.classifier.model.config.model_type == "bert"
    loss, _ = module(tensors(task.collate(run, np.arange(6), Share(0, 1, 0))))
    loss.backward()
    assert all(p.grad is not None for p in module.parameters())
    wet = SentimentTask(task.files, str(tiny_encoder), None, SMALL.model_copy(update={"dropout": 0.3}))
    wet.prepare(Storage(tmp_path / "wet"))
    drops = {name: m.p for name, m in wet.build(Storage(tmp_path / "wet")).named_modules() if hasattr(m, "p")}
    assert {p for name, p in drops.items() if "attention.self" not in name} == {0.3}
    longer = SMALL.model_copy(update={"max_tokens": 500})
    with pytest.raises(ValueError, match="reads 128 tokens at most"):
        SentimentTask(task.files, str(tiny_encoder), None, longer).prepare(Storage(tmp_path / "long"))
    with pytest.raises(ValueError, match=r"there is no directory \./absent"):
        SentimentTask(task.files, "./absent", None, SMALL).prepare(Storage(tmp_path / "absent"))


def test_texts_of_any_kind_are_classified(small_run, learned, tmp_path):
    task, run = small_run
    task.export(run, task.build(run).eval(), tmp_path)
    probabilities, _ = open_classifier(str(tmp_path)).classify(["", "слово " * 500, opinion(1)["text"], "<s>"])
    assert np.allclose(probabilities.sum(1), 1, atol=1e-5)
