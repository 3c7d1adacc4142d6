"""BERT on packed tokens by kernels of our own in C: what the two kinds of them share.

`int16` multiplies integers on any CPU with AVX2, `amx` multiplies tiles of bf16; attention, layer norm and activations
are the kernels' own too.
"""

from __future__ import annotations

import ctypes
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from kartoteka.encoding import native
from kartoteka.encoding.family import Embeddings, Parts, distances_of, layers_of

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_LINE = 64  # bytes
_ACTIVATIONS = {"gelu": 0, "gelu_new": 1, "gelu_pytorch_tanh": 1, "relu": 2}


class CompiledBert(ABC):
    """The encoder of a BERT-family `model`, on packed tokens. Several threads may call it at once.

    `columns`: what widths are padded to, with zeros; `head_columns`: what the width of a head is; `rows`: of how many
    rows a text takes up a whole number.
    """

    padded, rows = False, 1
    columns: ClassVar[int]
    head_columns: ClassVar[int]

    def __init__(self, model: PreTrainedModel) -> None:
        config = model.config
        self._kept: list[np.ndarray] = []  # the arrays that the structures below point into
        self._embed = Embeddings(model, torch.float32)
        distances = distances_of(model)
        self._width = config.hidden_size
        self._heads = config.num_attention_heads
        self._padded_width = up_to(self._width, self.columns)
        self._shape = native.Shape(
            width=self._padded_width,
            true_width=self._width,
            inner=up_to(config.intermediate_size, self.columns),
            heads=self._heads,
            head_width=up_to(self._width // self._heads, self.head_columns),
            activation=_ACTIVATIONS[config.hidden_act],
            eps=config.layer_norm_eps,
            distances=self._keep(distances.bias.numpy() * np.float32(np.log2(np.e))) if distances else None,
            longest=distances.longest if distances else 0,
        )
        self._layers = [self._layer(parts) for parts in layers_of(model)]
        self._own = threading.local()

    def __call__(self, ids: Tensor, lengths: list[int]) -> Tensor:
        """`ids` int64 [tokens] packed, `lengths` of the texts -> states float32 [tokens, d], packed the same way."""
        sizes = np.asarray(lengths, np.int64)
        own, rows = self._rows(sizes)
        hidden = _aligned(np.float32, rows, self._padded_width)
        hidden[own, : self._width] = self._embed(ids, lengths).numpy()
        self._run(sizes, hidden)
        return torch.from_numpy(hidden[own, : self._width])

    @abstractmethod
    def _rows(self, lengths: np.ndarray) -> tuple[np.ndarray | slice, int]:
        """Which rows the tokens of texts of these `lengths` have, and of how many."""

    @staticmethod
    @abstractmethod
    def _kernels() -> tuple[Callable[..., int], Callable[..., None]]:
        """How many bytes of scratch a layer wants, and the layer; see `native`."""

    @abstractmethod
    def _linear(self, weights: np.ndarray, bias: np.ndarray) -> native.Linear:
        """Padded float32 `weights` [out, in] and `bias` as the kernel reads them."""

    def _run(self, lengths: np.ndarray, hidden: np.ndarray) -> None:
        """All layers, in place, on `hidden` float32 [rows, padded width]."""
        wanted, layer = self._kernels()
        rows = len(hidden)
        room = self._room(wanted(rows, int(lengths.max()), self._shape))
        for own in self._layers:
            layer(own, self._shape, lengths.ctypes.data, len(lengths), rows, hidden.ctypes.data, room)

    def _room(self, needed: int) -> int:
        """The address of so many bytes of scratch, this thread's own."""
        room = getattr(self._own, "room", None)
        if room is None or len(room) < needed:
            room = self._own.room = _aligned(np.uint8, needed)
        return room.ctypes.data

    def _layer(self, layer: Parts) -> native.Layer:
        # exp(qk / sqrt(d)) = 2^(qk log2(e) / sqrt(d)): the factor goes into the queries' weights.
        factor = np.log2(np.e) / np.sqrt(self._width // self._heads)
        parts = [self._projection(layer.query, factor), self._projection(layer.key), self._projection(layer.value)]
        norms = (layer.norm1, layer.norm2)
        vectors = [self._keep(self._pad(v.numpy())) for norm in norms for v in (norm.weight, norm.bias)]
        return native.Layer(
            self._linear(*(np.concatenate(own) for own in zip(*parts, strict=True))),
            self._linear(self._pad(self._by_head(layer.out.weight.numpy().T).T), self._pad(layer.out.bias.numpy())),
            *(
                self._linear(self._pad(dense.weight.numpy()), self._pad(dense.bias.numpy()))
                for dense in (layer.up, layer.down)
            ),
            *vectors,
        )

    def _projection(self, dense: nn.Linear, factor: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
        """Weights and bias of queries, keys or values, each head padded."""
        return tuple(self._pad(self._by_head(v.numpy() * factor)) for v in (dense.weight, dense.bias))

    def _by_head(self, array: np.ndarray) -> np.ndarray:
        """An array whose first axis is heads x their width, with that padded."""
        heads = array.reshape(self._heads, -1, *array.shape[1:])
        more = self._shape.head_width - heads.shape[1]
        padded = np.pad(heads, [(0, 0), (0, more), *[(0, 0)] * (array.ndim - 1)])
        return padded.reshape(-1, *array.shape[1:])

    def _pad(self, array: np.ndarray) -> np.ndarray:
        return np.pad(array, [(0, up_to(n, self.columns) - n) for n in array.shape]).astype(np.float32)

    def _keep(self, array: np.ndarray) -> ctypes.c_void_p:
        kept = _aligned(array.dtype, *array.shape)
        kept[...] = array
        self._kept.append(kept)
        return ctypes.c_void_p(kept.ctypes.data)


def _aligned(kind: np.typing.DTypeLike, *shape: int) -> np.ndarray:
    """Zeros that begin with a cache line: a row of a tile that lies across two of them is read twice."""
    size = int(np.prod(shape)) * np.dtype(kind).itemsize
    memory = np.zeros(size + _LINE, np.uint8)
    start = -memory.ctypes.data % _LINE
    return memory[start : start + size].view(kind).reshape(shape)


def up_to(number: int, multiple: int) -> int:
    """The least multiple that is no less than `number`."""
    return -(-number // multiple) * multiple
