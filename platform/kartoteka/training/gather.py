"""Rows of all workers, with their gradient: what a loss over the global batch is made of."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def world() -> int:
    """How many workers there are; 1 where nothing is distributed."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def gather(rows: Tensor) -> Tensor:
    """The `rows` [k_r, d] of all workers, one worker after the other: [Σ k_r, d]; k_r may differ, d may not.

    Backward adds up what every worker's loss says of these rows. With losses whose mean over the workers is the global
    loss, and gradients averaged over the workers (DDP, DeepSpeed), the gradient is the global loss's own.
    """
    return _Gather.apply(rows) if world() > 1 else rows


def dealt(rows: Tensor) -> Tensor:
    """Undo `Share.of`: `rows` [m, d] as `gather` gives them, put back in the order in which they were dealt out."""
    numbers = torch.arange(len(rows), device=rows.device)
    order = torch.cat([numbers[rank :: world()] for rank in range(world())])
    return rows[torch.argsort(order)] if world() > 1 else rows


def largest(numbers: list[int], device: torch.device) -> list[int]:
    """The largest of each number over all workers: what they must agree on."""
    if world() == 1:
        return numbers
    agreed = torch.tensor(numbers, device=device)
    dist.all_reduce(agreed, op=dist.ReduceOp.MAX)
    return agreed.tolist()


class _Gather(torch.autograd.Function):
    """All-gather of rows that differ in number, padded to the most; its backward is an all-reduce."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        sizes = [torch.zeros(1, dtype=torch.int64, device=rows.device) for _ in range(world())]
        dist.all_gather(sizes, torch.tensor([len(rows)], device=rows.device))
        ctx.sizes = [int(size) for size in sizes]
        # float32: not every backend adds up half precision, and a sum over workers should not be rounded twice.
        padded = torch.zeros(max(ctx.sizes), rows.shape[1], dtype=torch.float32, device=rows.device)
        padded[: len(rows)] = rows
        parts = [torch.empty_like(padded) for _ in ctx.sizes]
        dist.all_gather(parts, padded)
        ctx.dtype = rows.dtype
        return torch.cat([part[:size] for part, size in zip(parts, ctx.sizes, strict=True)]).to(rows.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        gradient = gradient.float().contiguous()
        dist.all_reduce(gradient)
        start = sum(ctx.sizes[: dist.get_rank()])
        return gradient[start : start + ctx.sizes[dist.get_rank()]].to(ctx.dtype)
