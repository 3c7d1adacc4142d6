"""BERT on packed tokens with the linear layers in 12-bit integers: the fast path of CPUs without AMX.

Weights are quantised per output, states per token, both to +-2047 (round to nearest); attention, layer norm and
activations stay in fp32. Cosine to the fp32 vectors is above 0.9999.
"""

from __future__ import annotations

import ctypes
import threading
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from kartoteka.encoding import native
from kartoteka.encoding.family import Embeddings, Parts, can_pack, distances_of, layers_of

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_ACTIVATIONS = {"gelu": 0, "gelu_new": 1, "gelu_pytorch_tanh": 1, "relu": 2}
_LEVELS = 2047  # as in int16.h
_ROWS = 6
_COLUMNS = 16


def can_quantise(model: PreTrainedModel, device: torch.device) -> bool:
    """Whether `Int16Bert` can compute what `model` does, on this machine."""
    vectors = torch.backends.cpu.get_cpu_capability() in ("AVX2", "AVX512")
    return device.type == "cpu" and vectors and can_pack(model) and native.kernels() is not None


class Int16Bert:
    """The encoder of a BERT-family `model`, on packed tokens."""

    padded = False

    def __init__(self, model: PreTrainedModel) -> None:
        config = model.config
        self._kept: list[np.ndarray] = []  # the arrays that the structures below point into
        self._embed = Embeddings(model, torch.float32)
        distances = distances_of(model)
        self._width = config.hidden_size
        self._padded_width = _up_to(self._width, _COLUMNS)
        self._shape = native.Shape(
            width=self._padded_width,
            true_width=self._width,
            inner=_up_to(config.intermediate_size, _COLUMNS),
            heads=config.num_attention_heads,
            head_width=self._width // config.num_attention_heads,
            activation=_ACTIVATIONS[config.hidden_act],
            eps=config.layer_norm_eps,
            distances=self._keep(distances.bias.numpy() * np.float32(np.log2(np.e))) if distances else None,
            longest=distances.longest if distances else 0,
        )
        self._layers = [self._layer(parts) for parts in layers_of(model)]
        self._own = threading.local()

    def __call__(self, ids: Tensor, lengths: list[int]) -> Tensor:
        """`ids` int64 [tokens] packed, `lengths` of the texts -> states float32 [tokens, d], packed the same way.

        Several threads may call it at once.
        """
        library = native.kernels()
        rows = _up_to(len(ids), _ROWS)
        hidden = np.zeros((rows, self._padded_width), np.float32)
        hidden[: len(ids), : self._width] = self._embed(ids, lengths).numpy()
        needed = library.layer_room(rows, max(lengths), self._shape)
        room = getattr(self._own, "room", None)
        if room is None or len(room) < needed:
            room = self._own.room = np.zeros(needed, np.uint8)
        sizes = np.asarray(lengths, np.int64)
        for layer in self._layers:
            library.run_layer(
                layer, self._shape, sizes.ctypes.data, len(sizes), rows, hidden.ctypes.data, room.ctypes.data
            )
        return torch.from_numpy(hidden[: len(ids), : self._width])

    def _layer(self, layer: Parts) -> native.Layer:
        # exp(qk / sqrt(d)) = 2^(qk log2(e) / sqrt(d)): the factor goes into the queries' weights.
        factor = np.log2(np.e) / np.sqrt(self._shape.head_width)
        parts = [(layer.query, factor), (layer.key, 1.0), (layer.value, 1.0)]
        weights = np.concatenate([self._pad(part.weight.numpy() * f, 2) for part, f in parts])
        bias = np.concatenate([self._pad(part.bias.numpy() * f, 1) for part, f in parts])
        norms = (layer.norm1, layer.norm2)
        vectors = [self._keep(self._pad(v.numpy(), 1)) for norm in norms for v in (norm.weight, norm.bias)]
        return native.Layer(
            self._linear(weights, bias),
            *(
                self._linear(self._pad(dense.weight.numpy(), 2), self._pad(dense.bias.numpy(), 1))
                for dense in (layer.out, layer.up, layer.down)
            ),
            *vectors,
        )

    def _linear(self, weights: np.ndarray, bias: np.ndarray) -> native.Linear:
        """Quantise `weights` [out, in] per output and lay them out as the kernel reads them."""
        outputs, inputs = weights.shape
        scales = np.abs(weights).max(1) / _LEVELS
        levels = np.rint(weights / np.where(scales > 0, scales, 1)[:, None]).astype(np.int16)
        panels = levels.reshape(outputs // _COLUMNS, _COLUMNS, inputs // 2, 2).transpose(0, 2, 1, 3)
        return native.Linear(
            self._keep(panels), self._keep(scales.astype(np.float32)), self._keep(bias), inputs, outputs
        )

    def _pad(self, array: np.ndarray, axes: int) -> np.ndarray:
        shape = [(0, _up_to(n, _COLUMNS) - n) for n in array.shape]
        assert len(shape) == axes
        return np.pad(array, shape).astype(np.float32)

    def _keep(self, array: np.ndarray) -> ctypes.c_void_p:
        self._kept.append(np.ascontiguousarray(array))
        return ctypes.c_void_p(self._kept[-1].ctypes.data)


def _up_to(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple
