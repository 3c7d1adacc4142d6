"""Weights in eight bits: a form to keep and to ship a small model in, half of float16.

Each row of a matrix (an output of a layer, the vector of a word piece) is int8 with a scale of its own: w = scale x q,
scale = max |w| / 127; everything else is float16. They are read back as float32, so that all behind `load_transformer`
is as with any model. The file's name keeps other libraries, which would take int8 for weights, from reading it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

#: In the place of `model.safetensors`.
EIGHT_BITS = "model.int8.safetensors"
_SCALE = ".scale"
_LARGEST = 127


def write_eight_bits(weights: Mapping[str, Tensor], path: Path) -> None:
    """Write `weights`, names to tensors of floats. Raises `ValueError` naming one that holds what is no number."""
    from safetensors.torch import save_file

    stored = {}
    for name, value in weights.items():
        exact = value.detach().to("cpu", torch.float32)
        if not bool(torch.isfinite(exact).all()):
            raise ValueError(f"weights: {name} holds numbers that are none")
        if exact.ndim == 2:
            scale = exact.abs().amax(1).clamp(min=torch.finfo(torch.float32).tiny) / _LARGEST
            stored[name] = torch.round(exact / scale[:, None]).to(torch.int8)
            stored[name + _SCALE] = scale
        else:
            stored[name] = exact.half().contiguous()
    save_file(stored, path)


def read_eight_bits(path: Path) -> dict[str, Tensor]:
    """The weights in the file `path`, float32. Raises `ValueError` naming it where it is of another make."""
    from safetensors.torch import load_file

    stored = load_file(path)
    scales = {name: stored.pop(name + _SCALE, None) for name in list(stored) if not name.endswith(_SCALE)}
    for name, value in stored.items():
        scale = scales.get(name)
        if (
            name.endswith(_SCALE)
            or (value.dtype == torch.int8) != (scale is not None)
            or (scale is not None and (value.ndim != 2 or scale.shape != value.shape[:1]))
        ):
            raise ValueError(f"{path.name}: {name} is not stored as int8 with a scale of each row")
    return {
        name: value.float() if scales[name] is None else value.float() * scales[name][:, None]
        for name, value in stored.items()
    }
