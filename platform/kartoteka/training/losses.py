"""Losses that the papers add: plain functions on tensors."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def masked_mnr(
    documents: Tensor,
    candidates: Tensor,
    positives: Tensor,
    temperature: float,
    *,
    masked: bool = True,
    total: float | None = None,
) -> Tensor:
    """Masked multiple negatives ranking (SearchKeys): the mean loss of all (document, positive) pairs, a scalar.

    `documents` [n, d] and `candidates` [m, d] are unit vectors, `positives` bool [n, m] says which candidates document
    i carries. With s = documents · candidatesᵀ / `temperature` and P(i) the positives of i, the loss of (i, j) is

        masked    −log( exp s_ij / ( exp s_ij + Σ_{k ∉ P(i)} exp s_ik ) )
        unmasked  −log( exp s_ij / Σ_k exp s_ik )

    that is, in the masked form every other positive of i has the logit −∞ in the softmax of j. Computed as
    softplus(logsumexp_{k ∉ P(i)} s_ik − s_ij), which neither overflows nor is ever NaN: a document without positives
    adds nothing, one whose candidates are all positives adds 0. The sum is divided by the number of pairs, or by
    `total`: with `total` = pairs of the global batch / workers, the mean over the workers is the global batch's loss.
    """
    scores = documents.float() @ candidates.float().T / temperature
    if masked:
        # The least finite number and not −inf: a row without negatives would else have the gradient NaN.
        against = scores.masked_fill(positives, torch.finfo(scores.dtype).min)
        losses = functional.softplus(torch.logsumexp(against, dim=1, keepdim=True) - scores)
    else:
        losses = torch.logsumexp(scores, dim=1, keepdim=True) - scores
    count = positives.sum().clamp(min=1) if total is None else total
    return torch.where(positives, losses, 0.0).sum() / count


def distillation(vectors: Tensor, teacher: Tensor, total: float | None = None) -> Tensor:
    """Mean of 1 − cosine between `vectors` and `teacher`, both [n, d]; a zero vector of the teacher counts as 1.

    `total` divides the sum in place of n, as in `masked_mnr`. No rows give 0.
    """
    cosine = functional.cosine_similarity(vectors.float(), teacher.float(), dim=1)
    return (1 - cosine).sum() / (max(len(vectors), 1) if total is None else total)


def supcon(
    vectors: Tensor,
    labels: Tensor,
    temperature: float,
    *,
    rows: Tensor | None = None,
    clusters: Tensor | None = None,
    dominant: Tensor | None = None,
    total: float | None = None,
) -> Tensor:
    """Supervised contrastive loss (Khosla et al. 2020, equation 2: L_out), the mean over the anchors, a scalar.

    `vectors` [n, d] are unit vectors of the global batch, `labels` int64 [n] their classes. With s = z · zᵀ /
    `temperature`, P(i) the other rows of i's class and N(i) the rows of other classes, the loss of anchor i is

        −1/|P(i)| Σ_{p ∈ P(i)} log( exp s_ip / Σ_{a ∈ P(i) ∪ N(i)} exp s_ia )

    An anchor alone in its class has no P(i) and is dropped; it stays a negative of the others. `clusters` int64 [n]
    (−1: of none) prefer one cluster: where an anchor has positives in its own cluster, P(i) is those alone, and the
    rest of its class is left out. `dominant` int64 [n], the class that dominates a row's cluster, keeps only negatives
    whose cluster another class dominates: a row of another class amid the anchor's own kind may be mislabelled.

    `rows` int64: the anchors of this worker; all by default. The sum is divided by the number of their anchors, or by
    `total`: with `total` = `anchors` of the global batch / workers, the mean over the workers is the global loss.
    """
    own = torch.arange(len(labels), device=labels.device) if rows is None else rows
    other = own[:, None] != torch.arange(len(labels), device=labels.device)[None, :]
    same = labels[own, None] == labels[None, :]
    positives, negatives = same & other, ~same
    if clusters is not None:
        near = positives & (clusters[own, None] == clusters[None, :]) & (clusters[own, None] >= 0)
        positives = torch.where(near.any(1, keepdim=True), near, positives)
    if dominant is not None:
        negatives &= dominant[own, None] != dominant[None, :]
    scores = vectors[own].float() @ vectors.float().T / temperature
    # The least finite number and not −inf: a row without anyone to compare with would else have the gradient NaN.
    against = scores.masked_fill(~(positives | negatives), torch.finfo(scores.dtype).min)
    losses = torch.logsumexp(against, dim=1, keepdim=True) - scores
    each = torch.where(positives, losses, 0.0).sum(1) / positives.sum(1).clamp(min=1)
    return each.sum() / (positives.any(1).sum().clamp(min=1) if total is None else total)


def anchors(labels: Tensor) -> int:
    """How many rows of `labels` [n] share their class with another: what `supcon` takes the mean over."""
    counts = torch.unique(labels, return_counts=True)[1]
    return int(counts[counts > 1].sum())
