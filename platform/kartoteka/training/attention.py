"""Attention in bf16 on a CPU, its backward pass made of plain matrix products.

torch's fused kernel is the faster one forward, and with fp32 both ways; in bf16 it is twice as slow as plain products
backward, where it took a quarter of a step. Queries, keys and values are kept; the weights are computed again.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

NAME = "kartoteka_products"
#: Weights of longer texts are not held whole, as they are here during the backward pass: n² of each head.
_LONGEST = 1024
#: What else transformers passes on that does not change the result.
_HARMLESS = {"use_cache", "cache_position"}


class ProductsAttention(torch.autograd.Function):
    """softmax(q kᵀ · scale + mask) v of `q`, `k`, `v` [b, heads, n, d]; `mask` broadcasts to [b, heads, n, n] or None.

    With p the weights and do the gradient at the result: dv = pᵀ do, ds = p (do vᵀ - Σ p (do vᵀ)), dq = scale · ds k,
    dk = scale · dsᵀ q.
    """

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, scale: float) -> Tensor:
        """The fused kernel's result."""
        ctx.save_for_backward(q, k, v, mask)
        ctx.scale = scale
        return functional.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=scale)

    @staticmethod
    def backward(ctx: Any, change: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients at `q`, `k` and `v`."""
        q, k, v, mask = ctx.saved_tensors
        scores = torch.matmul(q, k.transpose(-1, -2)).mul_(ctx.scale)
        if mask is not None:
            scores = scores.masked_fill_(~mask, -torch.inf) if mask.dtype == torch.bool else scores + mask
        weights = torch.softmax(scores, -1)
        dv = torch.matmul(weights.transpose(-1, -2), change)
        # One kernel that rounds once: in bf16 four of them would double the error.
        ds = torch.ops.aten._softmax_backward_data(
            torch.matmul(change, v.transpose(-1, -2)), weights, -1, weights.dtype
        )
        return (
            torch.matmul(ds, k).mul_(ctx.scale), torch.matmul(ds.transpose(-1, -2), q).mul_(ctx.scale), dv, None, None
        )  # fmt: skip


def attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    is_causal: bool | None = None,
    **others: Any,
) -> tuple[Tensor, None]:
    """As transformers calls it: `ProductsAttention` in bf16 on a CPU, where only a mask is asked for; else its own."""
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    causal = is_causal if is_causal is not None else getattr(module, "is_causal", True)
    more = any(name not in _HARMLESS and value is not None and value is not False for name, value in others.items())
    fits = key.shape[1] == query.shape[1] and max(query.shape[2], key.shape[2]) <= _LONGEST
    gains = query.dtype == torch.bfloat16 and query.device.type == "cpu"
    if more or dropout or (causal and attention_mask is None) or not (fits and gains):
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout, scaling=scaling, is_causal=is_causal, **others
        )
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    found = ProductsAttention.apply(query, key, value, attention_mask, scale)
    return found.transpose(1, 2).contiguous(), None


def use_products(module: torch.nn.Module) -> None:
    """Let all transformers below `module` that use torch's fused attention take this one."""
    from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
    from transformers.masking_utils import sdpa_mask

    AttentionInterface.register(NAME, attention)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    for model in module.modules():
        if isinstance(model, PreTrainedModel) and model.config._attn_implementation == "sdpa":
            model.set_attn_implementation(NAME)
