"""Which device computes, and in which number format."""

from __future__ import annotations

import logging

import torch

from kartoteka.encoding.native import has_amx, has_vnni

_log = logging.getLogger(__name__)

#: Name of a precision -> the torch type of weights and states. int16 is fp32 but for its linear layers (`int16.py`).
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16, "int16": torch.float32}


def cpu_abilities() -> dict[str, bool | str]:
    """What this CPU can do for matrix products: three kinds of instructions, and the vector level that torch uses."""
    return {
        "amx": has_amx(),
        "avx512_bf16": bool(torch.cpu._is_avx512_bf16_supported()),
        "avx512_vnni": has_vnni(),
        "vectors": torch.backends.cpu.get_cpu_capability(),
    }


def choose_device(device: str) -> torch.device:
    """`auto`: the GPU if there is one, else the CPU. Raises `ValueError`: unknown or absent device."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
    except RuntimeError:
        raise ValueError(f"device: {device!r} is none of auto, cpu, cuda, cuda:0, ...") from None
    if chosen.type not in ("cpu", "cuda"):
        raise ValueError(f"device: {device!r} is none of auto, cpu, cuda, cuda:0, ...")
    if chosen.type == "cuda" and (chosen.index or 0) >= torch.cuda.device_count():
        raise ValueError(f"device: {device!r} is not there ({torch.cuda.device_count()} CUDA devices)")
    return chosen


def choose_precision(precision: str, device: torch.device, *, int16: bool) -> str:
    """The precision to compute in: as asked, or for `auto` the fastest that `device` has natively.

    `int16`: whether the model and the machine can take that path.
    Raises `ValueError` on an unknown name, or on int16 where it cannot be. bf16 on a CPU without it is right but
    slow: a warning says so.
    """
    if precision not in ("auto", *DTYPES):
        raise ValueError(f"precision: {precision!r} is none of auto, {', '.join(DTYPES)}")
    if precision == "int16" and not int16:
        raise ValueError("precision: int16 needs a model of the BERT family, a CPU with AVX2 and a C compiler")
    if device.type == "cuda":
        native = "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
        return native if precision == "auto" else precision
    abilities = cpu_abilities()
    if precision == "auto":
        return fastest_on_cpu(abilities, int16=int16)
    bf16 = abilities["amx"] or abilities["avx512_bf16"]
    if precision == "fp16" or (precision == "bf16" and not bf16):
        _log.warning("precision %s is not native to this CPU: expect it to be slower than fp32", precision)
    return precision


def fastest_on_cpu(abilities: dict[str, bool | str], *, int16: bool) -> str:
    """The precision of `auto` on a CPU with these `cpu_abilities`.

    AMX multiplies bf16 at four times the rate of anything else. Without it our int16 kernels come first, with VNNI and
    with AVX2 alone (docs/benchmarks/encoding.md); with AVX-512 but no VNNI fp32 products are as fast, and exact.
    """
    if abilities["amx"]:
        return "bf16"
    if int16 and (abilities["avx512_vnni"] or abilities["vectors"] == "AVX2"):
        return "int16"
    return "bf16" if abilities["avx512_bf16"] else "fp32"
