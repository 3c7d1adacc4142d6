from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
import torch.distributed as dist
from gloo_workers import run_group

from kartoteka.training.contrastive import encode_texts
from kartoteka.training.gather import dealt, gather, largest, world


class Mean(torch.nn.Module):
    """Mean of word vectors through a layer; counts its calls."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.words = torch.nn.Embedding(50, 6)
        self.layer = torch.nn.Linear(6, 4)
        self.calls: list[tuple[int, int]] = []

    def forward(self, grid: torch.Tensor, lengths: torch.Tensor, texts: torch.Tensor) -> torch.Tensor:
        assert texts.shape == lengths.shape
        self.calls.append(tuple(grid.shape))
        real = (torch.arange(grid.shape[1])[None, :] < lengths[:, None]).float()
        states = self.words(grid) * real[:, :, None]
        return torch.tanh(self.layer(states.sum(1) / lengths[:, None]))


def packed(lengths: list[int], seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    random = np.random.default_rng(seed)
    ids = random.integers(1, 50, sum(lengths)).astype(np.int32)
    return torch.from_numpy(ids), torch.from_numpy(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64))


def one_by_one(model: Mean, ids: torch.Tensor, offsets: torch.Tensor) -> torch.Tensor:
    return torch.cat(
        [
            model(ids[a:b].long()[None], torch.tensor([b - a]), torch.tensor([number]))
            for number, (a, b) in enumerate(pairwise(offsets.tolist()))
        ]
    )


LENGTHS = [3, 9, 1, 4, 4, 12, 2, 30, 5]


@pytest.mark.parametrize("kept", [0, 20, 10_000])
def test_values_and_gradients_are_those_of_one_text_at_a_time(kept):
    ids, offsets = packed(LENGTHS)
    model = Mean()
    weights = torch.randn(len(LENGTHS), 4)
    wanted = one_by_one(model, ids, offsets)
    right = torch.autograd.grad((wanted * weights).sum(), list(model.parameters()))
    found = encode_texts(model, ids, offsets, dimension=4, micro_tokens=16, kept_tokens=kept)
    assert torch.allclose(found, wanted, atol=1e-6)
    for a, b in zip(torch.autograd.grad((found * weights).sum(), list(model.parameters())), right, strict=True):
        assert torch.allclose(a, b, atol=1e-6)


def test_micro_batches_are_bounded_and_trimmed():
    ids, offsets = packed(LENGTHS)
    model = Mean()
    encode_texts(model, ids, offsets, dimension=4, micro_tokens=16)
    assert (1, 30) in model.calls  # longer than a micro-batch: alone
    assert all(rows * width <= 16 for rows, width in model.calls if rows > 1)
    assert sum(rows for rows, _ in model.calls) == len(LENGTHS)


@pytest.mark.parametrize(("micro", "kept", "again"), [(16, 0, True), (10_000, 0, False), (16, 10_000, False)])
def test_what_fits_is_not_computed_twice(micro, kept, again):
    ids, offsets = packed(LENGTHS)
    model = Mean()
    found = encode_texts(model, ids, offsets, dimension=4, micro_tokens=micro, kept_tokens=kept)
    before = len(model.calls)
    found.sum().backward()
    assert (len(model.calls) > before) is again


def test_nothing_is_computed_again_without_gradients():
    ids, offsets = packed(LENGTHS)
    with torch.no_grad():
        found = encode_texts(Mean(), ids, offsets, dimension=4, micro_tokens=16)
    assert not found.requires_grad


def test_an_encoder_is_told_which_texts_it_has():
    ids, offsets = packed(LENGTHS)
    told = encode_texts(lambda grid, sizes, texts: texts[:, None].float(), ids, offsets, dimension=1, micro_tokens=16)
    assert told[:, 0].tolist() == list(range(len(LENGTHS)))


def test_texts_without_tokens_and_no_texts():
    ids, offsets = packed([2, 0, 3])
    found = encode_texts(Mean(), ids, offsets, dimension=4, micro_tokens=16)
    assert torch.count_nonzero(found[1]) == 0
    assert torch.count_nonzero(found[2])
    assert encode_texts(Mean(), *packed([]), dimension=4, micro_tokens=16).shape == (0, 4)


def test_alone_there_is_nothing_to_gather():
    rows = torch.randn(3, 2, requires_grad=True)
    assert world() == 1
    assert gather(rows) is rows
    assert dealt(rows) is rows
    assert largest([3, -1], rows.device) == [3, -1]


def in_a_group(lengths: list[int], weights: torch.Tensor) -> dict:
    """This worker's texts are every second one; its loss is a sum over all texts, halved by the mean over workers."""
    ids, offsets = packed(lengths)
    rank = dist.get_rank()
    own = list(range(len(lengths)))[rank :: world()]
    parts = [ids[offsets[i] : offsets[i + 1]] for i in own]
    bounds = torch.tensor([0, *np.cumsum([len(part) for part in parts]).tolist()])
    model = Mean()
    mine = torch.cat(parts) if parts else ids[:0]
    vectors = encode_texts(model, mine, bounds, dimension=4, micro_tokens=16)
    every = dealt(gather(vectors))
    loss = ((every * weights).sum(1)[own] ** 2).sum() * world()
    loss = loss + every[0].sum()  # each worker asks for a row that only one of them holds
    loss.backward()
    for parameter in model.parameters():
        dist.all_reduce(parameter.grad)
        parameter.grad /= world()
    agreed = largest([rank, -rank], vectors.device)
    return {
        "vectors": every.detach(),
        "gradients": [parameter.grad for parameter in model.parameters()],
        "calls": len(model.calls),
        "agreed": agreed,
    }


def test_two_workers_are_one(tmp_path):
    """Unequal shares: one worker holds the long texts and one of its texts more."""
    weights = torch.randn(len(LENGTHS), 4, generator=torch.Generator().manual_seed(5))
    results = run_group(in_a_group, tmp_path, LENGTHS, weights)
    ids, offsets = packed(LENGTHS)
    model = Mean()
    wanted = one_by_one(model, ids, offsets)
    loss = ((wanted * weights).sum(1) ** 2).sum() + wanted[0].sum()
    right = torch.autograd.grad(loss, list(model.parameters()))
    for result in results:
        assert torch.allclose(result["vectors"], wanted, atol=1e-6)
        for a, b in zip(result["gradients"], right, strict=True):
            assert torch.allclose(a, b, atol=1e-5)
        assert result["agreed"] == [1, 0]
    assert results[0]["calls"] == results[1]["calls"]  # a sharded module fetches its weights as often everywhere


def test_a_worker_without_texts_takes_part(tmp_path):
    results = run_group(in_a_group, tmp_path, [5], torch.ones(1, 4))
    ids, offsets = packed([5])
    model = Mean()
    wanted = one_by_one(model, ids, offsets)
    right = torch.autograd.grad((wanted.sum(1) ** 2).sum() + wanted[0].sum(), list(model.parameters()))
    for result in results:
        for a, b in zip(result["gradients"], right, strict=True):
            assert torch.allclose(a, b, atol=1e-5)
