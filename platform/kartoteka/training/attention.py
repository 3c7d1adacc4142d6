"""Attention in bf16 on a CPU, its backward pass made of plain matrix products.

torch's fused kernel is the faster one forward, and with fp32 both ways; in bf16 it is twice as slow as plain products
backward, where it took a quarter of a step. Queries, keys and values are kept; the weights are computed again, so many
at a time as stay in the cache. MPNet's attention, which transformers only writes out, is taken too.
"""

from __future__ import annotations

from types import MethodType
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

NAME = "kartoteka_products"
#: Weights of longer texts are not held whole, as they are here during the backward pass: n² of each head.
_LONGEST = 1024
#: Weights computed at once: 2 MB of them in bf16.
_CACHED = 1 << 20
#: What else transformers passes on that does not change the result.
_HARMLESS = {"use_cache", "cache_position"}


class ProductsAttention(torch.autograd.Function):
    """softmax(q kᵀ · scale + mask + bias) v of `q`, `k`, `v` [b, heads, n, d].

    `mask` broadcasts to [b, heads, n, n] or is None; `bias` [1, heads, n, n], the same for all texts, is learned, or
    None. With p the weights and do the gradient at the result: dv = pᵀ do, ds = p (do vᵀ - Σ p (do vᵀ)),
    dq = scale · ds k, dk = scale · dsᵀ q, and the bias's is the sum of ds over the texts.
    """

    @staticmethod
    def forward(
        ctx: Any, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, scale: float, bias: Tensor | None = None
    ) -> Tensor:
        """The fused kernel's result."""
        ctx.save_for_backward(q, k, v, mask, bias)
        ctx.scale = scale
        if bias is None:
            return functional.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=scale)
        found = torch.empty_like(q)
        for some in _parts(q, k):
            found[some] = functional.scaled_dot_product_attention(
                q[some], k[some], v[some], attn_mask=_added(mask, bias, some), scale=scale
            )
        return found

    @staticmethod
    def backward(ctx: Any, change: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients at `q`, `k`, `v` and `bias`."""
        q, k, v, mask, bias = ctx.saved_tensors
        dq, dk, dv = torch.empty_like(q), torch.empty_like(k), torch.empty_like(v)
        # Summed in fp32: in bf16 the sum over many texts would stop growing.
        wide = None if bias is None else torch.promote_types(bias.dtype, torch.float32)
        learned = None if bias is None else torch.zeros(bias.shape, dtype=wide)
        for some in _parts(q, k):
            scores = torch.matmul(q[some], k[some].transpose(-1, -2)).mul_(ctx.scale)
            weights = torch.softmax(_masked(scores, _added(mask, bias, some)), -1)
            dv[some] = torch.matmul(weights.transpose(-1, -2), change[some])
            # One kernel that rounds once: in bf16 four of them would double the error.
            ds = torch.ops.aten._softmax_backward_data(
                torch.matmul(change[some], v[some].transpose(-1, -2)), weights, -1, weights.dtype
            )
            if learned is not None:
                learned += ds.sum(0, keepdim=True, dtype=wide)
            dq[some] = torch.matmul(ds, k[some]).mul_(ctx.scale)
            dk[some] = torch.matmul(ds.transpose(-1, -2), q[some]).mul_(ctx.scale)
        return dq, dk, dv, None, None, None if learned is None else learned.to(bias.dtype)


def _parts(q: Tensor, k: Tensor) -> list[slice]:
    """Texts that are taken together: one whose weights fill the cache, or many short ones."""
    texts, heads, queries, _ = q.shape
    size = max(1, _CACHED // max(heads * queries * k.shape[2], 1))
    return [slice(start, start + size) for start in range(0, texts, size)]


def _added(mask: Tensor | None, bias: Tensor | None, some: slice) -> Tensor | None:
    """What is added to the scores of these texts."""
    own = mask if mask is None or len(mask) == 1 else mask[some]
    return own if bias is None else _masked(bias, own)


def _masked(scores: Tensor, mask: Tensor | None) -> Tensor:
    if mask is None:
        return scores
    return scores.masked_fill(~mask, -torch.inf) if mask.dtype == torch.bool else scores + mask


def _gains(x: Tensor, words: int) -> bool:
    """Whether products are the faster ones for `x`, and what they hold at once fits."""
    return x.dtype == torch.bfloat16 and x.device.type == "cpu" and words <= _LONGEST


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
    gains = key.shape[1] == query.shape[1] and _gains(query, max(query.shape[2], key.shape[2]))
    if more or dropout or (causal and attention_mask is None) or not gains:
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout, scaling=scaling, is_causal=is_causal, **others
        )
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    found = ProductsAttention.apply(query, key, value, attention_mask, scale)
    return found.transpose(1, 2).contiguous(), None


def _mpnet(
    self: Any,
    hidden_states: Tensor,
    attention_mask: Tensor | None = None,
    position_bias: Tensor | None = None,
    output_attentions: bool = False,
    **others: Any,
) -> tuple[Tensor, ...]:
    """`MPNetSelfAttention.forward` by `ProductsAttention`, where that gains."""
    states = hidden_states
    dropped = self.training and self.dropout.p
    if dropped or output_attentions or position_bias is None or not _gains(states, states.shape[1]):
        return type(self).forward(self, states, attention_mask, position_bias, output_attentions, **others)
    q, k, v = (
        part(states).view(*states.shape[:2], -1, self.attention_head_size).transpose(1, 2)
        for part in (self.q, self.k, self.v)
    )
    found = ProductsAttention.apply(q, k, v, attention_mask, self.attention_head_size**-0.5, position_bias)
    return (self.o(found.transpose(1, 2).flatten(2)),)


def _position_bias(self: Any, x: Tensor, position_ids: Tensor | None = None, num_buckets: int = 32) -> Tensor:
    """`MPNetEncoder.compute_position_bias` for one text: all have the same."""
    return type(self).compute_position_bias(self, x[:1], position_ids, num_buckets)


def use_products(module: torch.nn.Module) -> None:
    """Let all transformers below `module` that use torch's fused attention, and MPNet, take this one."""
    from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
    from transformers.masking_utils import sdpa_mask
    from transformers.models.mpnet.modeling_mpnet import MPNetEncoder, MPNetSelfAttention

    AttentionInterface.register(NAME, attention)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    for model in module.modules():
        if isinstance(model, PreTrainedModel) and model.config._attn_implementation == "sdpa":
            model.set_attn_implementation(NAME)
        elif isinstance(model, MPNetSelfAttention):
            model.forward = MethodType(_mpnet, model)
        elif isinstance(model, MPNetEncoder):
            model.compute_position_bias = MethodType(_position_bias, model)
