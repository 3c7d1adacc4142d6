"""The loss: transformers' own, at the tokens that are asked for, whatever the micro-batches and the workers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from pretraining.pretraining_worlds import TINY, batch_of, prepared
from torch.nn.utils.rnn import pad_sequence
from training.gloo_workers import learned, run_group
from transformers import AutoModel, AutoTokenizer

from kartoteka.pretraining import data
from kartoteka.pretraining.masking import IGNORED
from kartoteka.pretraining.module import MlmModule


def by_transformers(model: torch.nn.Module, batch: dict[str, torch.Tensor]) -> tuple[float, float]:
    """(loss, accuracy) of all texts as one padded batch through the whole model."""
    cuts = (batch["offsets"][1:] - batch["offsets"][:-1]).tolist()
    ids = pad_sequence(batch["ids"].long().split(cuts), batch_first=True)
    targets = pad_sequence(batch["targets"].split(cuts), batch_first=True, padding_value=IGNORED)
    real = pad_sequence([torch.ones(size, dtype=torch.int64) for size in cuts], batch_first=True)
    found = model(input_ids=ids, attention_mask=real, labels=targets)
    asked = targets != IGNORED
    return found.loss.item(), (found.logits.argmax(-1) == targets)[asked].float().mean().item()


def with_mask(encoder: Path, folder: Path) -> str:
    """The tiny BERT, whose tokeniser knows no mask, with the unknown word for one."""
    AutoModel.from_pretrained(encoder).save_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(encoder)
    tokenizer.mask_token = tokenizer.unk_token
    tokenizer.save_pretrained(folder)
    return str(folder)


@pytest.mark.parametrize("given", [False, True], ids=["small", "a given BERT"])
def test_loss_and_accuracy_are_transformers_own(given, tiny_encoder, tmp_path):
    task, run = prepared(tmp_path, encoder=with_mask(tiny_encoder, tmp_path / "bert") if given else None)
    module = task.build(run).eval()
    assert module.model.config.model_type == ("bert" if given else "modernbert")
    batch = batch_of(task, run, range(24))
    loss, figures = module(batch)
    wanted, accuracy = by_transformers(module.model, batch)
    assert loss.item() == pytest.approx(wanted, rel=1e-4)
    assert float(figures["accuracy"]) == pytest.approx(accuracy)
    assert int(batch["asked"][0]) == int((batch["targets"] != IGNORED).sum()) > 0


def _learn(folder: str, batches: list[list[dict]]) -> list[tuple[float, torch.Tensor]]:
    return learned(MlmModule(Path(folder), TINY).eval(), batches)


def test_two_workers_have_the_loss_and_gradient_of_one(tmp_path):
    """Also of a batch of one text, of which one worker has none, and of one in which nothing is asked."""
    task, run = prepared(tmp_path)
    batches, folder = [[3, 0, 11, 8, 40], [5]], str(run.local(data.START))
    alone = [[batch_of(task, run, numbers)] for numbers in batches]
    dealt = [[batch_of(task, run, numbers, rank, 2) for rank in range(2)] for numbers in batches]
    silent = {**alone[0][0], "targets": torch.full_like(alone[0][0]["targets"], IGNORED), "asked": torch.zeros(1)}
    found = _learn(folder, [*alone, [silent]])
    assert found[2][0] == 0
    for (loss, gradient), *parts in zip(found[:2], *run_group(_learn, tmp_path, folder, dealt), strict=True):
        assert np.mean([part for part, _ in parts]) == pytest.approx(loss, rel=1e-4)
        assert torch.allclose((parts[0][1] + parts[1][1]) / 2, gradient, atol=1e-5)
