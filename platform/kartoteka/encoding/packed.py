"""BERT without padding: the tokens of a batch are one matrix for the linear layers, attention runs per text.

Covers the family that shares BERT's layer (see `family`). Same arithmetic as transformers' own classes; only the order
of sums differs.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from kartoteka.encoding.family import ACTIVATIONS, Activation, Embeddings, Parts, distances_of, layers_of, weights_of

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Layer:
    """Weights of one layer, [out, in] as torch keeps them; queries, keys and values are one product."""

    qkv: Tensor
    qkv_bias: Tensor
    out: Tensor
    out_bias: Tensor
    norm1: tuple[Tensor, Tensor]
    up: Tensor
    up_bias: Tensor
    down: Tensor
    down_bias: Tensor
    norm2: tuple[Tensor, Tensor]


class PackedBert:
    """The encoder of a BERT-family `model`, on packed tokens, on the CPU.

    `compiled`: all of a layer but attention becomes one function of torch.compile, for any number of tokens and every
    layer; where that fails (no C++ compiler) a warning says so and the layers run as they are.
    """

    padded, rows = False, 1

    def __init__(self, model: PreTrainedModel, dtype: torch.dtype, *, compiled: bool = False) -> None:
        config = model.config
        self._heads = config.num_attention_heads
        self._eps = config.layer_norm_eps
        self._activation = ACTIVATIONS[config.hidden_act]
        self._dtype = dtype
        self._embed = Embeddings(model, dtype)
        self._distances = distances_of(model)
        self._layers = [_layer(parts, dtype) for parts in layers_of(model)]
        self._after_attention = torch.compile(after_attention) if compiled else after_attention

    def __call__(self, ids: Tensor, lengths: list[int]) -> Tensor:
        """`ids` int64 [tokens] packed, `lengths` of the texts -> states [tokens, d], packed the same way."""
        hidden = self._embed(ids, lengths)
        runs = [(length, len(list(run)), self._bias(length)) for length, run in groupby(lengths)]
        for layer in self._layers:
            mixed = self._attention(functional.linear(hidden, layer.qkv, layer.qkv_bias), runs)
            hidden = self._rest(mixed, hidden, layer)
        return hidden

    def _rest(self, mixed: Tensor, hidden: Tensor, layer: _Layer) -> Tensor:
        if self._after_attention is after_attention:
            return after_attention(mixed, hidden, layer, self._activation, self._eps)
        for states in (mixed, hidden):
            torch._dynamo.mark_dynamic(states, 0)
        try:
            return self._after_attention(mixed, hidden, layer, self._activation, self._eps)
        except torch._dynamo.exc.TorchDynamoException as error:
            _log.warning("torch.compile failed, going on without: %s", str(error).strip().splitlines()[0])
            self._after_attention = after_attention
            return after_attention(mixed, hidden, layer, self._activation, self._eps)

    def _bias(self, length: int) -> Tensor | None:
        return None if self._distances is None else self._distances.between(length).to(self._dtype)

    def _attention(self, qkv: Tensor, runs: list[tuple[int, int, Tensor | None]]) -> Tensor:
        """Attention inside each text; texts of equal length, neighbours by the plan, share one call."""
        width = qkv.shape[1] // 3
        mixed = torch.empty(len(qkv), width, dtype=qkv.dtype)
        start = 0
        for length, count, bias in runs:
            stop = start + length * count
            query, key, value = qkv[start:stop].view(count, length, 3, self._heads, -1).permute(2, 0, 3, 1, 4)
            result = functional.scaled_dot_product_attention(query, key, value, attn_mask=bias)
            mixed[start:stop].view(count, length, self._heads, -1).copy_(result.transpose(1, 2))
            start = stop
        return mixed


def after_attention(mixed: Tensor, hidden: Tensor, layer: _Layer, activation: Activation, eps: float) -> Tensor:
    """All of a layer that follows attention: `mixed` its result, `hidden` the layer's input, both [tokens, d]."""
    width = (hidden.shape[1],)
    mixed = functional.linear(mixed, layer.out, layer.out_bias).add_(hidden)
    hidden = functional.layer_norm(mixed, width, *layer.norm1, eps)
    inner = activation(functional.linear(hidden, layer.up, layer.up_bias))
    inner = functional.linear(inner, layer.down, layer.down_bias).add_(hidden)
    return functional.layer_norm(inner, width, *layer.norm2, eps)


def _layer(parts: Parts, dtype: torch.dtype) -> _Layer:
    projections = [weights_of(part, dtype) for part in (parts.query, parts.key, parts.value)]
    return _Layer(
        torch.cat([weight for weight, _ in projections]),
        torch.cat([bias for _, bias in projections]),
        *weights_of(parts.out, dtype),
        weights_of(parts.norm1, dtype),
        *weights_of(parts.up, dtype),
        *weights_of(parts.down, dtype),
        weights_of(parts.norm2, dtype),
    )
