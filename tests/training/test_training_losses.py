from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kartoteka.training.losses import distillation, masked_mnr


def unit(rows: int, width: int, seed: int) -> torch.Tensor:
    torch.manual_seed(seed)
    return torch.nn.functional.normalize(torch.randn(rows, width, dtype=torch.float64), dim=1)


def as_published(documents, candidates, positives, temperature, masked):
    """The definition, pair by pair, with -inf in the logits."""
    scores = documents @ candidates.T / temperature
    losses = []
    for i, j in positives.nonzero().tolist():
        logits = scores[i].clone()
        if masked:
            others = positives[i].clone()
            others[j] = False
            logits[others] = -math.inf
        losses.append(-torch.log_softmax(logits, dim=0)[j])
    return torch.stack(losses).mean()


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    n=st.integers(1, 6),
    m=st.integers(1, 9),
    masked=st.booleans(),
    temperature=st.sampled_from([0.02, 0.05, 1.0]),
)
def test_loss_and_gradient_are_those_of_the_definition(seed, n, m, masked, temperature):
    documents, candidates = unit(n, 5, seed), unit(m, 5, seed + 1)
    torch.manual_seed(seed)
    positives = torch.rand(n, m) < 0.4
    positives[0, 0] = True
    ours = [documents.clone().float().requires_grad_(), candidates.clone().float().requires_grad_()]
    theirs = [documents.clone().requires_grad_(), candidates.clone().requires_grad_()]
    loss = masked_mnr(*ours, positives, temperature, masked=masked)
    wanted = as_published(*theirs, positives, temperature, masked)
    assert loss.item() == pytest.approx(wanted.item(), rel=1e-5, abs=1e-5)
    gradients = torch.autograd.grad(loss, ours)
    for got, right in zip(gradients, torch.autograd.grad(wanted, theirs), strict=True):
        assert torch.allclose(got.double(), right, atol=1e-4 / temperature * 0.05, rtol=1e-4)


def test_the_mask_matters():
    documents, candidates = unit(3, 4, 1), unit(5, 4, 2)
    positives = torch.tensor([[1, 1, 0, 0, 0], [0, 0, 1, 0, 0], [0, 0, 0, 1, 1]], dtype=torch.bool)
    masked, plain = (masked_mnr(documents, candidates, positives, 0.1, masked=m) for m in (True, False))
    assert masked < plain


def test_documents_without_positives_add_nothing():
    documents, candidates = unit(3, 4, 1), unit(5, 4, 2)
    positives = torch.zeros(3, 5, dtype=torch.bool)
    positives[1, 2] = True
    alone = masked_mnr(documents[1:2], candidates, positives[1:2], 0.1)
    assert masked_mnr(documents, candidates, positives, 0.1).item() == pytest.approx(alone.item())
    assert masked_mnr(documents, candidates, positives & False, 0.1).item() == 0


@pytest.mark.parametrize("masked", [True, False])
def test_all_candidates_positive_is_defined(masked):
    documents, candidates = unit(2, 4, 1).requires_grad_(), unit(1, 4, 2).requires_grad_()
    loss = masked_mnr(documents, candidates, torch.ones(2, 1, dtype=torch.bool), 0.05, masked=masked)
    loss.backward()
    assert loss.item() == 0
    assert torch.isfinite(documents.grad).all()
    assert torch.count_nonzero(candidates.grad) == 0


def test_neither_overflows_nor_vanishes_at_a_small_temperature():
    documents = torch.eye(2).requires_grad_()
    candidates = -torch.eye(2)
    loss = masked_mnr(documents, candidates, torch.eye(2, dtype=torch.bool), 1e-3)
    loss.backward()
    assert loss.item() == pytest.approx(1000)
    assert torch.isfinite(documents.grad).all()


def test_total_divides_the_sum():
    documents, candidates = unit(2, 4, 1), unit(3, 4, 2)
    positives = torch.tensor([[1, 0, 1], [0, 1, 0]], dtype=torch.bool)
    mean = masked_mnr(documents, candidates, positives, 0.1)
    assert masked_mnr(documents, candidates, positives, 0.1, total=6).item() == pytest.approx(mean.item() / 2)


def test_distillation_is_the_mean_distance():
    vectors = torch.tensor([[1.0, 0.0], [0.0, 2.0], [1.0, 0.0]])
    teacher = torch.tensor([[3.0, 0.0], [0.0, -1.0], [0.0, 0.0]])
    assert distillation(vectors, teacher).item() == pytest.approx((0 + 2 + 1) / 3)
    assert distillation(vectors, teacher, total=6).item() == pytest.approx(0.5)
    assert distillation(vectors[:0], teacher[:0]).item() == 0
