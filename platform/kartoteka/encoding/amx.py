"""BERT on packed tokens by AMX: products of bf16 tiles, everything between them in fp32.

Faster than torch's bf16 on the same CPU, and nearer to fp32, since states are never rounded but where they are
multiplied. A text has the same bits in any company.
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

_ROWS, _COLUMNS = 16, 32


def can_tile(model: PreTrainedModel, device: torch.device) -> bool:
    """Whether `AmxBert` can compute what `model` does, on this machine."""
    return device.type == "cpu" and can_pack(model) and native.amx_kernels() is not None


class AmxBert(CompiledBert):
    """See the module. A text has a whole number of tiles of rows."""

    columns = head_columns = _COLUMNS
    rows = _ROWS

    def _rows(self, lengths: np.ndarray) -> tuple[np.ndarray, int]:
        widths = up_to(lengths, _ROWS)
        before = np.cumsum(widths - lengths) - (widths - lengths)
        return np.arange(lengths.sum()) + np.repeat(before, lengths), int(widths.sum())

    @staticmethod
    def _kernels() -> tuple[Callable[..., int], Callable[..., None]]:
        library = native.amx_kernels()
        return library.amx_room, library.amx_layer

    def _linear(self, weights: np.ndarray, bias: np.ndarray) -> native.Linear:
        outputs, inputs = weights.shape
        rounded = torch.from_numpy(weights).bfloat16().view(torch.int16).numpy()
        tiles = rounded.reshape(outputs // _COLUMNS, 2, _ROWS, inputs // _COLUMNS, _ROWS, 2).transpose(0, 3, 1, 4, 2, 5)
        return native.Linear(self._keep(tiles), None, self._keep(bias), inputs, outputs)
