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
