"""What the models that share BERT's layer call its parts: BERT, RoBERTa, XLM-RoBERTa, CamemBERT and MPNet.

All are the post-norm encoder of Devlin et al. 2019. MPNet (Song et al. 2020) adds to each attention score a number that
depends on the head and on how far apart the two tokens are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Activation = Callable[[Tensor], Tensor]

_FAMILY = {"bert", "roberta", "xlm-roberta", "camembert", "mpnet"}
#: Those that the layers compute, in place where they can.
ACTIVATIONS: dict[str, Activation] = {
    "gelu": lambda x: torch.ops.aten.gelu_(x),
    "gelu_new": lambda x: torch.ops.aten.gelu_(x, approximate="tanh"),
    "gelu_pytorch_tanh": lambda x: torch.ops.aten.gelu_(x, approximate="tanh"),
    "relu": torch.relu_,
}


class Parts(NamedTuple):
    """The modules of one layer."""

    query: nn.Linear
    key: nn.Linear
    value: nn.Linear
    out: nn.Linear
    norm1: nn.LayerNorm
    up: nn.Linear
    down: nn.Linear
    norm2: nn.LayerNorm


def can_pack(model: PreTrainedModel) -> bool:
    """Whether `model` is of the family, and nothing else."""
    config = model.config
    return (
        config.model_type in _FAMILY
        and getattr(config, "position_embedding_type", "absolute") == "absolute"
        and not getattr(config, "is_decoder", False)
        and config.hidden_act in ACTIVATIONS
    )


def layers_of(model: PreTrainedModel) -> list[Parts]:
    """The layers of a model that `can_pack`, first to last."""
    return [_parts(layer) for layer in model.encoder.layer]


def _parts(layer: nn.Module) -> Parts:
    attention, after = layer.attention, (layer.intermediate.dense, layer.output.dense, layer.output.LayerNorm)
    if hasattr(attention, "attn"):
        own = attention.attn
        return Parts(own.q, own.k, own.v, own.o, attention.LayerNorm, *after)
    own = attention.self
    return Parts(own.query, own.key, own.value, attention.output.dense, attention.output.LayerNorm, *after)


class Distances(NamedTuple):
    """What is added to an attention score, by how far behind the query the key stands.

    `bias` float32 [heads, 2 * longest - 1]: of the distances from -(longest - 1) to longest - 1.
    """

    bias: Tensor
    longest: int

    def between(self, length: int) -> Tensor:
        """float32 [heads, length, length]: of each query, a row, and key of a text."""
        places = torch.arange(length)
        return self.bias[:, places[None, :] - places[:, None] + self.longest - 1]


def distances_of(model: PreTrainedModel) -> Distances | None:
    """Those of a model that has them, for the longest text that it has positions for."""
    if model.config.model_type != "mpnet":
        return None
    longest = model.config.max_position_embeddings
    with torch.no_grad():
        # The first row knows the distances from 0 up, the first column those down from 0.
        grid = model.encoder.compute_position_bias(torch.empty(1, longest, 1))[0].float()
    return Distances(torch.cat([grid[:, 1:, 0].flip(1), grid[:, 0, :]], dim=1).contiguous(), longest)


class Embeddings:
    """Word, position and type vectors of packed tokens, added and normalised."""

    def __init__(self, model: PreTrainedModel, dtype: torch.dtype) -> None:
        embeddings = model.embeddings
        self._words = embeddings.word_embeddings.weight.to(dtype)
        places = embeddings.position_embeddings.weight
        if hasattr(embeddings, "token_type_embeddings"):
            # Every token of a single text has type 0: its vector can be part of the position's.
            places = places + embeddings.token_type_embeddings.weight[0]
        self._places = places.to(dtype)
        # All but BERT count positions from the padding id on, and do not count padding tokens that a text contains.
        self._pad = embeddings.position_embeddings.padding_idx
        self._norm = weights_of(embeddings.LayerNorm, dtype)
        self._eps = model.config.layer_norm_eps

    def __call__(self, ids: Tensor, lengths: list[int]) -> Tensor:
        """`ids` int64 [tokens] packed, `lengths` of the texts -> states [tokens, d] before the first layer."""
        hidden = self._words[ids].add_(self._places[self._positions(ids, lengths)])
        return functional.layer_norm(hidden, (hidden.shape[1],), *self._norm, self._eps)

    def _positions(self, ids: Tensor, lengths: list[int]) -> Tensor:
        if self._pad is None:
            return torch.cat([torch.arange(length) for length in lengths])
        real = ids.ne(self._pad).long()
        return torch.cat([part.cumsum(0) * part for part in real.split(lengths)]) + self._pad


def weights_of(module: nn.Linear | nn.LayerNorm, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Weight and bias in `dtype`."""
    return module.weight.to(dtype), module.bias.to(dtype)
