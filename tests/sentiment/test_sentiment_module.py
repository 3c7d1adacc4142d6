"""The loss: torch's own over the global batch whatever the workers; the metric loss, and the vector it shapes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from sentiment.sentiment_worlds import SMALL, tensors
from torch.nn import functional
from training.gloo_workers import learned, run_group

from kartoteka.sentiment import data
from kartoteka.sentiment.model import SentimentModel, last_layer
from kartoteka.sentiment.module import SentimentModule
from kartoteka.storage import Storage
from kartoteka.training.losses import supcon
from kartoteka.training.task import Share


def batch_of(task, run, numbers, rank=0, size=1):
    return tensors(task.collate(run, np.array(numbers, np.int64), Share(rank, size, 0)))


def test_cross_entropy_is_torchs_mean_over_the_batch(small_run):
    task, run = small_run
    module = task.build(run).eval()
    batch = batch_of(task, run, range(9))
    loss, _ = module(batch)
    logits, vectors = module.encode(batch["ids"], batch["offsets"])
    assert loss.item() == pytest.approx(functional.cross_entropy(logits, batch["labels"]).item(), rel=1e-5)
    assert torch.allclose(vectors.norm(dim=1), torch.ones(9), atol=1e-5)


def test_soft_targets_are_the_cross_entropy_of_probabilities(small_run):
    task, run = small_run
    module = task.build(run).eval()
    batch = batch_of(task, run, range(6))
    batch["targets"] = torch.softmax(torch.randn(6, 3, generator=torch.manual_seed(0)), 1)
    logits, _ = module.encode(batch["ids"], batch["offsets"])
    by_hand = -sum((t * torch.log_softmax(row, 0)).sum() for row, t in zip(logits, batch["targets"], strict=True)) / 6
    assert module(batch)[0].item() == pytest.approx(by_hand.item(), rel=1e-5)


def test_a_text_is_read_as_transformers_reads_it_alone(small_run):
    """Micro-batches and padding change nothing, and the vector is what enters the last layer."""
    task, run = small_run
    module = task.build(run).eval()
    batch = batch_of(task, run, range(12))
    logits, vectors = module.encode(batch["ids"], batch["offsets"])
    model = module.classifier.model
    for row in (0, 7, 11):
        ids = batch["ids"][batch["offsets"][row] : batch["offsets"][row + 1]][None, :].long()
        assert torch.allclose(logits[row], model(input_ids=ids).logits[0], atol=1e-5)
    weight = last_layer(model).weight / last_layer(model).weight.norm()
    assert vectors.shape == (12, weight.shape[1])


def test_metric_loss_stands_beside(small_run):
    task, run = small_run
    module = SentimentModule(run.local(data.START), SMALL, metric=True).eval()
    batch = batch_of(task, run, range(9))
    loss, figures = module(batch)
    _, vectors = module.encode(batch["ids"], batch["offsets"])
    metric = supcon(vectors, batch["labels"], SMALL.temperature, clusters=batch["clusters"], dominant=batch["dominant"])
    assert figures["metric_loss"].item() == pytest.approx(metric.item(), rel=1e-4)
    assert loss.item() == pytest.approx(figures["class_loss"].item() + SMALL.metric_weight * metric.item(), rel=1e-4)


def _learn(folder: str, batches: list[list[dict]]) -> list[tuple[float, torch.Tensor]]:
    return learned(SentimentModule(Path(folder), SMALL, metric=True).eval(), batches)


def test_two_workers_have_the_loss_and_gradient_of_one(small_run, tmp_path):
    """Also of a batch of one text, of which one worker has none."""
    task, run = small_run
    batches, folder = ([3, 0, 11, 8, 40], [5]), str(run.local(data.START))
    alone = _learn(folder, [[batch_of(task, run, numbers)] for numbers in batches])
    dealt = [[batch_of(task, run, numbers, rank, 2) for rank in range(2)] for numbers in batches]
    for (loss, gradient), *parts in zip(alone, *run_group(_learn, tmp_path, folder, dealt), strict=True):
        assert np.mean([part for part, _ in parts]) == pytest.approx(loss, rel=1e-4)
        assert torch.allclose((parts[0][1] + parts[1][1]) / 2, gradient, atol=1e-4)


def test_other_classes_and_encoders_without_a_head_are_no_classifier(tiny_encoder, small_run, tmp_path):
    with pytest.raises(ValueError, match="it is no classifier"):
        SentimentModel(tiny_encoder)
    task, run = small_run
    model = task.build(run).classifier.model
    model.config.id2label = {0: "neg", 1: "neu", 2: "pos"}
    model.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="tells neg, neu, pos apart, not negative, neutral, positive"):
        SentimentModel(tmp_path)


def test_classes_in_another_order_are_put_in_ours(small_run, tmp_path):
    task, run = small_run
    module = task.build(run).eval()
    batch = batch_of(task, run, range(4))
    logits, _ = module.encode(batch["ids"], batch["offsets"])
    model = module.classifier.model
    with torch.no_grad():
        last_layer(model).weight.copy_(last_layer(model).weight[[2, 0, 1]].clone())
        last_layer(model).bias.copy_(last_layer(model).bias[[2, 0, 1]].clone())
    model.config.id2label = {0: "POSITIVE", 1: "NEGATIVE", 2: "NEUTRAL"}
    model.save_pretrained(tmp_path)
    other = SentimentModule(tmp_path, SMALL, metric=False).eval()
    assert torch.allclose(other.encode(batch["ids"], batch["offsets"])[0], logits, atol=1e-6)


def test_the_model_is_the_same_in_every_process(small_run, tmp_path):
    task, run = small_run
    other = Storage(tmp_path / "run")
    torch.manual_seed(3)
    task.prepare(other)
    one, two = task.build(run).state_dict(), task.build(other).state_dict()
    assert all(torch.equal(one[name], two[name]) for name in one)
