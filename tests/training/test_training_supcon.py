"""Supervised contrastive loss against a loop written out by hand, alone and divided among workers."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from training.gloo_workers import run_group

from kartoteka.training.gather import dealt, gather, world
from kartoteka.training.losses import anchors, supcon


def by_hand(vectors, labels, temperature, clusters=None, dominant=None):
    """L_out of Khosla et al., anchor by anchor; None where no anchor has a positive."""
    n, losses = len(labels), []
    for i in range(n):
        positives = [p for p in range(n) if p != i and labels[p] == labels[i]]
        if clusters is not None:
            near = [p for p in positives if clusters[p] == clusters[i] and clusters[i] >= 0]
            positives = near or positives
        negatives = [a for a in range(n) if labels[a] != labels[i]]
        if dominant is not None:
            negatives = [a for a in negatives if dominant[a] != dominant[i]]
        if not positives:
            continue
        score = [float(vectors[i] @ vectors[a]) / temperature for a in range(n)]
        bottom = sum(math.exp(score[a]) for a in [*positives, *negatives])
        losses.append(-sum(math.log(math.exp(score[p]) / bottom) for p in positives) / len(positives))
    return sum(losses) / len(losses) if losses else None


def unit(rows: int, seed: int) -> torch.Tensor:
    torch.manual_seed(seed)
    return torch.nn.functional.normalize(torch.randn(rows, 6, dtype=torch.float64), dim=1)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.integers(1, 9), clustered=st.booleans(), temperature=st.sampled_from([0.1, 1]))
def test_equal_to_the_published_formula(seed, n, clustered, temperature):
    vectors = unit(n, seed)
    labels = torch.randint(0, 3, (n,))
    clusters = torch.randint(-1, 3, (n,)) if clustered else None
    dominant = torch.randint(0, 3, (n,)) if clustered else None
    wanted = by_hand(vectors, labels, temperature, clusters, dominant)
    loss = supcon(vectors, labels, temperature, clusters=clusters, dominant=dominant)
    assert loss.item() == pytest.approx(wanted or 0.0, rel=1e-4, abs=1e-5)


def test_a_class_of_one_is_no_anchor_but_a_negative():
    vectors, labels = unit(3, 1), torch.tensor([0, 0, 1])
    assert supcon(vectors, labels, 0.5).item() == pytest.approx(by_hand(vectors, labels, 0.5), rel=1e-5)
    assert supcon(vectors, labels, 0.5) > supcon(vectors[:2], labels[:2], 0.5)  # log of one positive alone is 0
    assert anchors(labels) == 2


def test_nobody_to_compare_with_is_zero_and_never_nan():
    for labels in ([0], [0, 1, 2], []):
        vectors = unit(len(labels), 2).requires_grad_()
        loss = supcon(vectors, torch.tensor(labels, dtype=torch.int64), 0.07)
        loss.backward()
        assert loss.item() == 0
        assert torch.isfinite(vectors.grad).all()


def test_does_not_overflow_at_a_small_temperature():
    vectors = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [1.0, 0.0]], requires_grad=True)
    loss = supcon(vectors, torch.tensor([0, 0, 1]), 1e-3)
    loss.backward()
    # The first anchor's positive is opposite (2 / 1e-3 behind its negative), the second's equals its negative.
    assert loss.item() == pytest.approx((2000 + math.log(2)) / 2, rel=1e-4)
    assert torch.isfinite(vectors.grad).all()


def test_one_cluster_is_preferred_and_kindred_clusters_are_no_negatives():
    vectors, labels = unit(5, 3), torch.tensor([0, 0, 0, 1, 1])
    clusters, dominant = torch.tensor([4, 4, 5, 5, 6]), torch.tensor([0, 0, 0, 0, 1])
    rows = torch.tensor([0])
    near = supcon(vectors, labels, 0.5, rows=rows, clusters=clusters, dominant=dominant)
    s = (vectors[0] @ vectors.T / 0.5).exp()
    # The third of its class is in another cluster, the fourth in one that its own class dominates.
    assert near.item() == pytest.approx(-math.log(s[1] / (s[1] + s[4])), rel=1e-5)


def _share(vectors: torch.Tensor, labels: torch.Tensor, clusters: torch.Tensor) -> tuple[float, torch.Tensor]:
    rank = torch.distributed.get_rank() if world() > 1 else 0
    rows = torch.arange(len(labels))[rank :: world()]
    own = vectors[rows].clone().requires_grad_()
    loss = supcon(
        dealt(gather(own)), labels, 0.2, rows=rows, clusters=clusters, dominant=labels,
        total=max(1, anchors(labels)) / world(),
    )  # fmt: skip
    loss.backward()
    return loss.item(), own.grad / world()


def test_two_workers_have_the_loss_and_gradient_of_one(tmp_path: Path):
    vectors, labels = unit(7, 4).float(), torch.tensor([0, 1, 0, 2, 1, 1, 0])
    clusters = torch.tensor([0, 0, 0, -1, 1, 1, 2])
    alone, gradient = _share(vectors, labels, clusters)
    parts = run_group(_share, tmp_path, vectors, labels, clusters)
    assert sum(loss for loss, _ in parts) / 2 == pytest.approx(alone, rel=1e-5)
    found = torch.zeros_like(gradient)
    for rank, (_, part) in enumerate(parts):
        found[rank::2] = part
    assert torch.allclose(found, gradient, atol=1e-6)
