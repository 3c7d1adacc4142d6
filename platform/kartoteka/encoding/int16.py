"""BERT on packed tokens with the linear layers in 12-bit integers: the fast path of CPUs without AMX.

Weights are quantised per output, states per token, both to +-2047 (round to nearest); attention, layer norm and
activations stay in fp32. Cosine to the fp32 vectors is above 0.9999.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import torch

from kartoteka.encoding import native
from kartoteka.encoding.compiled import CompiledBert, up_to
from kartoteka.encoding.family import can_pack

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_LEVELS = 2047  # as in int16.h
_ROWS = 6
_COLUMNS = 16


def can_quantise(model: PreTrainedModel, device: torch.device) -> bool:
    """Whether `Int16Bert` can compute what `model` does, on this machine."""
    vectors = torch.backends.cpu.get_cpu_capability() in ("AVX2", "AVX512")
    return device.type == "cpu" and vectors and can_pack(model) and native.kernels() is not None


class Int16Bert(CompiledBert):
    """See the module."""

    columns = _COLUMNS
    head_columns = 1

    def _rows(self, lengths: np.ndarray) -> tuple[slice, int]:
        tokens = int(lengths.sum())
        return slice(tokens), up_to(tokens, _ROWS)

    @staticmethod
    def _kernels() -> tuple[Callable[..., int], Callable[..., None]]:
        library = native.kernels()
        return library.layer_room, library.run_layer

    def _linear(self, weights: np.ndarray, bias: np.ndarray) -> native.Linear:
        outputs, inputs = weights.shape
        scales = np.abs(weights).max(1) / _LEVELS
        levels = np.rint(weights / np.where(scales > 0, scales, 1)[:, None]).astype(np.int16)
        panels = levels.reshape(outputs // _COLUMNS, _COLUMNS, inputs // 2, 2).transpose(0, 2, 1, 3)
        return native.Linear(
            self._keep(panels), self._keep(scales.astype(np.float32)), self._keep(bias), inputs, outputs
        )
