"""BERT without padding: the tokens of a batch are one matrix for the linear layers, attention runs per text.

Covers the family that shares BERT's layer (BERT, RoBERTa, XLM-RoBERTa, CamemBERT): Devlin et al. 2019, post-norm
encoder. Same arithmetic as transformers' own classes; only the order of sums differs.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_log = logging.getLogger(__name__)
Activation = Callable[[Tensor], Tensor]

_FAMILY = {"bert", "roberta", "xlm-roberta", "camembert"}
_ACTIVATIONS = {
    "gelu": lambda x: torch.ops.aten.gelu_(x),
    "gelu_new": lambda x: torch.ops.aten.gelu_(x, approximate="tanh"),
    "gelu_pytorch_tanh": lambda x: torch.ops.aten.gelu_(x, approximate="tanh"),
    "relu": torch.relu_,
}


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


def can_pack(model: PreTrainedModel) -> bool:
    """Whether `PackedBert` computes what `model` does."""
    config = model.config
    return (
        config.model_type in _FAMILY
        and getattr(config, "position_embedding_type", "absolute") == "absolute"
        and not getattr(config, "is_decoder", False)
        and config.hidden_act in _ACTIVATIONS
    )


class BertEmbeddings:
    """Word, position and type vectors of packed tokens, added and normalised."""

    def __init__(self, model: PreTrainedModel, dtype: torch.dtype) -> None:
        config, embeddings = model.config, model.embeddings
        self._words = embeddings.word_embeddings.weight.to(dtype)
        # Every token of a single text has type 0: its vector can be part of the position's.
        places = embeddings.position_embeddings.weight + embeddings.token_type_embeddings.weight[0]
        self._places = places.to(dtype)
        # RoBERTa counts positions from the padding id on, and does not count padding tokens that a text contains.
        self._pad = None if config.model_type == "bert" else config.pad_token_id
        self._norm = _norm(embeddings.LayerNorm, dtype)
        self._eps = config.layer_norm_eps

    def __call__(self, ids: Tensor, lengths: list[int]) -> Tensor:
        """`ids` int64 [tokens] packed, `lengths` of the texts -> states [tokens, d] before the first layer."""
        hidden = self._words[ids].add_(self._places[self._positions(ids, lengths)])
        return functional.layer_norm(hidden, (hidden.shape[1],), *self._norm, self._eps)

    def _positions(self, ids: Tensor, lengths: list[int]) -> Tensor:
        if self._pad is None:
            return torch.cat([torch.arange(length) for length in lengths])
        real = ids.ne(self._pad).long()
        return torch.cat([part.cumsum(0) * part for part in real.split(lengths)]) + self._pad


class PackedBert:
    """The encoder of a BERT-family `model`, on packed tokens, on the CPU.

    `compiled`: all of a layer but attention becomes one function of torch.compile, for any number of tokens and every
    layer; where that fails (no C++ compiler) a warning says so and the layers run as they are.
    """

    padded = False

    def __init__(self, model: PreTrainedModel, dtype: torch.dtype, *, compiled: bool = False) -> None:
        config = model.config
        self._heads = config.num_attention_heads
        self._eps = config.layer_norm_eps
        self._activation = _ACTIVATIONS[config.hidden_act]
        self._embed = BertEmbeddings(model, dtype)
        self._layers = [_layer(layer, dtype) for layer in model.encoder.layer]
        self._after_attention = torch.compile(after_attention) if compiled else after_attention

    def __call__(self, ids: Tensor, lengths: list[int]) -> Tensor:
        """`ids` int64 [tokens] packed, `lengths` of the texts -> states [tokens, d], packed the same way."""
        hidden = self._embed(ids, lengths)
        runs = [(length, len(list(run))) for length, run in groupby(lengths)]
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

    def _attention(self, qkv: Tensor, runs: list[tuple[int, int]]) -> Tensor:
        """Attention inside each text; texts of equal length, neighbours by the plan, share one call."""
        width = qkv.shape[1] // 3
        mixed = torch.empty(len(qkv), width, dtype=qkv.dtype)
        start = 0
        for length, count in runs:
            stop = start + length * count
            query, key, value = qkv[start:stop].view(count, length, 3, self._heads, -1).permute(2, 0, 3, 1, 4)
            result = functional.scaled_dot_product_attention(query, key, value)
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


def _norm(module: torch.nn.LayerNorm, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    return module.weight.to(dtype), module.bias.to(dtype)


def _layer(layer: torch.nn.Module, dtype: torch.dtype) -> _Layer:
    attention, output = layer.attention.self, layer.attention.output
    projections = (attention.query, attention.key, attention.value)
    return _Layer(
        qkv=torch.cat([p.weight for p in projections]).to(dtype),
        qkv_bias=torch.cat([p.bias for p in projections]).to(dtype),
        out=output.dense.weight.to(dtype),
        out_bias=output.dense.bias.to(dtype),
        norm1=_norm(output.LayerNorm, dtype),
        up=layer.intermediate.dense.weight.to(dtype),
        up_bias=layer.intermediate.dense.bias.to(dtype),
        down=layer.output.dense.weight.to(dtype),
        down_bias=layer.output.dense.bias.to(dtype),
        norm2=_norm(layer.output.LayerNorm, dtype),
    )
