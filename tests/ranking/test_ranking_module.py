from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
from ranking_arrays import ROWS, teacher
from training.gloo_workers import run_group

from kartoteka.encoding.spans import LONGEST
from kartoteka.ragged import pick
from kartoteka.ranking.batches import collate, draw_negatives
from kartoteka.ranking.data import PairArrays
from kartoteka.ranking.module import RankerModule
from kartoteka.ranking.settings import RankerSettings
from kartoteka.training.gather import world
from kartoteka.training.task import Share

SETTINGS = RankerSettings(negatives=3, micro_tokens=40, kept_tokens=0, distil_weight=0.5, distil_steps=10)


@pytest.fixture
def folder(tiny) -> Path:
    return tiny("bert", hidden=8)


def tensors(batch: dict[str, np.ndarray]) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(np.ascontiguousarray(value)) for name, value in batch.items()}


def module_of(folder: Path, settings: RankerSettings) -> RankerModule:
    module = RankerModule(folder, settings)
    if module.scorer:  # as if it had learned something
        torch.nn.init.normal_(module.scorer.weight, std=0.1, generator=torch.Generator().manual_seed(1))
    return module.eval()  # the tiny model has dropout


def batch_of(arrays: PairArrays, settings: RankerSettings, share: Share) -> dict[str, torch.Tensor]:
    return tensors(collate(arrays, teacher(), ROWS, share, settings))


def naive(module: RankerModule, arrays: PairArrays, settings: RankerSettings, step: int) -> torch.Tensor:
    """The loss of the batch, text by text, pair by pair and span by span."""

    def states_of(tokens, offsets, row):
        ids = torch.from_numpy(tokens[offsets[row] : offsets[row + 1]].astype(np.int64))[None]
        return module.transformer(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state[0]

    def encode(*text):
        return torch.nn.functional.normalize(states_of(*text).mean(0), dim=0)

    share = Share(0, 1, 0, step)
    batch = collate(arrays, teacher(), ROWS, share, settings)
    carried = [set(pick(arrays.positives, arrays.positive_offsets, np.array([row]))[0].tolist()) for row in ROWS]
    numbers = sorted(set().union(*carried) | set(draw_negatives(arrays, ROWS, share, settings.negatives).tolist()))
    documents = [encode(arrays.tokens, arrays.token_offsets, row) for row in ROWS]
    candidates = [encode(arrays.phrase_tokens, arrays.phrase_offsets, number) for number in numbers]
    losses = []
    for document, own in zip(documents, carried, strict=True):
        for positive in own:
            others = own - {positive} if settings.masked else set()
            scores = {
                number: document @ candidate / settings.temperature
                for number, candidate in zip(numbers, candidates, strict=True)
                if number not in others
            }
            losses.append(-torch.log_softmax(torch.stack(list(scores.values())), 0)[list(scores).index(positive)])
    distances = [
        1 - torch.nn.functional.cosine_similarity(vector, torch.from_numpy(wanted), dim=0)
        for vector, wanted in zip(
            [*documents, *(candidates if settings.ranking_weight else [])], batch["teacher"], strict=True
        )
    ]
    loss = batch["distil"][0] * torch.stack(distances).mean()
    if settings.ranking_weight:
        loss = loss + settings.ranking_weight * torch.stack(losses).mean()
    if settings.span_weight:
        spans = [span_loss(module, states_of(arrays.tokens, arrays.token_offsets, row), arrays, row) for row in ROWS]
        loss = loss + settings.span_weight * torch.stack(spans).mean()
    return loss


def span_loss(module: RankerModule, states: torch.Tensor, arrays: PairArrays, row: int) -> torch.Tensor:
    """By the formula of `encoding.spans`, with weights that act ten times as large as they are kept."""
    start, stop = arrays.words.offsets[row : row + 2].tolist()
    first, last = (10 * half for half in module.scorer.weight.chunk(2))
    total = torch.zeros(())
    for word in range(start, stop):
        for more in range(LONGEST):
            label = int(arrays.words.labels[word, more])
            if label >= 0:
                score = first[more] @ states[int(arrays.words.first[word])] + module.scorer.bias[more]
                score = score + last[more] @ states[int(arrays.words.last[word + more])]
                total = total - torch.nn.functional.logsigmoid(score if label else -score)
    return total


def gradients(module: RankerModule) -> dict[str, torch.Tensor]:
    return {name: p.grad.clone() for name, p in module.named_parameters() if p.grad is not None}


def in_a_group(folder: Path, arrays: PairArrays, settings: RankerSettings, step: int) -> dict:
    module = module_of(folder, settings)
    loss, figures = module(batch_of(arrays, settings, Share(dist.get_rank(), world(), 0, step)))
    loss.backward()
    whole = loss.detach().clone()
    dist.all_reduce(whole)
    found = gradients(module)
    for gradient in found.values():
        dist.all_reduce(gradient)
        gradient /= world()
    return {"loss": float(whole) / world(), "gradients": found, "figures": figures}


def near(settings: RankerSettings) -> float:
    """How far loss and gradients may be from the naive ones: sums over many spans are less exact."""
    return 1e-4 if settings.span_weight else 1e-5


@pytest.mark.parametrize(
    "changed",
    [{}, {"kept_tokens": 100_000}, {"masked": False}, {"ranking_weight": 0.5, "span_weight": 0.3}, {"span_weight": 0.0},
     {"ranking_weight": 0.0}],
)  # fmt: skip
def test_loss_and_gradients_are_the_naive_ones(folder, arrays, changed) -> None:
    settings = SETTINGS.model_copy(update=changed)
    arrays = arrays if settings.span_weight else arrays._replace(words=None)
    module = module_of(folder, settings)
    wanted = naive(module, arrays, settings, 2)
    wanted.backward()
    right = gradients(module)
    module.zero_grad(set_to_none=True)
    loss, figures = module(batch_of(arrays, settings, Share(0, 1, 0, 2)))
    loss.backward()
    assert loss.item() == pytest.approx(wanted.item(), abs=near(settings))
    assert figures.keys() >= {"ranking"} if settings.ranking_weight else figures.keys().isdisjoint({"ranking"})
    assert ("spans" in figures) is bool(settings.span_weight)
    found = gradients(module)
    assert found.keys() == right.keys() == dict(module.named_parameters()).keys()  # DeepSpeed wants one for each
    for name, gradient in right.items():
        assert torch.allclose(found[name], gradient, atol=1e-5), name


@pytest.mark.parametrize("changed", [{}, {"ranking_weight": 0.0}, {"span_weight": 0.0}])
def test_two_workers_have_the_loss_and_gradients_of_one(folder, arrays, tmp_path, changed) -> None:
    settings = SETTINGS.model_copy(update=changed)
    arrays = arrays if settings.span_weight else arrays._replace(words=None)
    module = module_of(folder, settings)
    wanted = naive(module, arrays, settings, 2)
    wanted.backward()
    right = gradients(module)
    for result in run_group(in_a_group, tmp_path, folder, arrays, settings, 2):
        assert result["loss"] == pytest.approx(wanted.item(), abs=near(settings))
        for name, gradient in right.items():
            assert torch.allclose(result["gradients"][name], gradient, atol=near(settings)), name


def test_in_bf16_the_loss_is_near_and_every_parameter_learns(folder, arrays) -> None:
    """As the engine runs it: weights and states in bf16, the teacher's vectors in fp32."""
    exact = module_of(folder, SETTINGS)
    module = module_of(folder, SETTINGS).bfloat16()
    batch = batch_of(arrays, SETTINGS, Share(0, 1, 0, 2))
    with torch.no_grad():
        wanted, _ = exact(batch)
    loss, _ = module(batch)
    loss.backward()
    assert torch.isfinite(loss)
    assert loss.item() == pytest.approx(wanted.item(), rel=0.02)
    found = gradients(module)
    assert found.keys() == dict(module.named_parameters()).keys()
    for name, gradient in found.items():
        assert torch.isfinite(gradient).all(), name


def test_a_batch_where_every_candidate_is_right(folder, arrays) -> None:
    """All keyphrases equal: nothing can be told apart, nothing is learned, nothing breaks."""
    same = arrays._replace(
        positives=np.zeros(len(ROWS), np.int32), positive_offsets=np.arange(len(ROWS) + 1),
        pool=np.zeros(0, np.int32), pool_offsets=np.zeros(len(ROWS) + 1, np.int64),
    )  # fmt: skip
    settings = SETTINGS.model_copy(update={"distil_weight": 0.0, "span_weight": 0.0})
    same = same._replace(words=None)
    module = module_of(folder, settings)
    loss, _ = module(tensors(collate(same, None, np.arange(len(ROWS)), Share(0, 1, 0), settings)))
    loss.backward()
    assert loss.item() == 0
    assert all(torch.isfinite(p.grad).all() for p in module.parameters())
