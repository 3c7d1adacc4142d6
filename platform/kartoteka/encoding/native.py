"""The C kernels: compiled once on each machine, kept in the user's cache, absent where they cannot be."""

from __future__ import annotations

import ctypes
import functools
import hashlib
import logging
import os
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path

_log = logging.getLogger(__name__)
_HERE = Path(__file__).parent
_SOURCES = ("int16.c", "layer.c")
_FLAGS = ("-O3", "-std=gnu11", "-mavx2", "-mfma", "-fno-math-errno", "-shared", "-fPIC")
_WIDE_FLAGS = ("-mavx512f", "-mavx512bw", "-mavx512vl")
_VNNI_FLAGS = (*_WIDE_FLAGS, "-mavx512vnni", "-mprefer-vector-width=256")
_AMX_FLAGS = (*_WIDE_FLAGS, "-mavx512dq", "-mavx512bf16", "-mamx-tile", "-mamx-bf16")


class Linear(ctypes.Structure):
    """`Linear` of int16.h."""

    _fields_ = [
        ("weights", ctypes.c_void_p),
        ("scales", ctypes.c_void_p),
        ("bias", ctypes.c_void_p),
        ("inputs", ctypes.c_long),
        ("outputs", ctypes.c_long),
    ]


class Layer(ctypes.Structure):
    """`Layer` of int16.h."""

    _fields_ = [(name, Linear) for name in ("qkv", "project", "up", "down")] + [
        (name, ctypes.c_void_p) for name in ("gain1", "shift1", "gain2", "shift2")
    ]


class Shape(ctypes.Structure):
    """`Shape` of int16.h."""

    _fields_ = [
        (name, ctypes.c_long) for name in ("width", "true_width", "inner", "heads", "head_width", "activation")
    ] + [("eps", ctypes.c_float), ("distances", ctypes.c_void_p), ("longest", ctypes.c_long)]


@functools.cache
def kernels() -> ctypes.CDLL | None:
    """The compiled kernels, or `None` (with the reason logged once) on another processor or without a C compiler."""
    library = _library((*_FLAGS, *(_VNNI_FLAGS if has_vnni() else ())), _SOURCES, "fp32")
    return library and _declared(library, "layer_room", "run_layer")


@functools.cache
def amx_kernels() -> ctypes.CDLL | None:
    """Those for AMX, or `None`: also where the CPU has no AMX, or the system keeps it back."""
    if not has_amx():
        return None
    library = _library((*_FLAGS, *_AMX_FLAGS), (*_SOURCES, "amx.c", "amx_attention.c"), "bf16")
    if library is not None and library.amx_ready():
        _log.warning("the system does not let this process use AMX, so encoding takes torch's bf16")
        return None
    return library and _declared(library, "amx_room", "amx_layer")


def _library(flags: tuple[str, ...], sources: tuple[str, ...], instead: str) -> ctypes.CDLL | None:
    if platform.machine() not in ("x86_64", "AMD64") or os.name != "posix":
        return None
    compiler = shutil.which(os.environ.get("CC", "cc")) or shutil.which("gcc") or shutil.which("clang")
    try:
        return ctypes.CDLL(str(_compiled(compiler, flags, sources)))
    except (OSError, RuntimeError, subprocess.SubprocessError) as error:
        _log.warning("no compiled kernels, so encoding takes torch's %s: %s", instead, error)
        return None


def _declared(library: ctypes.CDLL, room: str, layer: str) -> ctypes.CDLL:
    pointer, size = ctypes.c_void_p, ctypes.c_long
    getattr(library, room).restype = size
    getattr(library, room).argtypes = [size, size, ctypes.POINTER(Shape)]
    getattr(library, layer).restype = None
    getattr(library, layer).argtypes = [
        ctypes.POINTER(Layer), ctypes.POINTER(Shape), pointer, size, size, pointer, pointer,
    ]  # fmt: skip
    return library


def has_vnni() -> bool:
    """Whether this CPU has AVX-512 VNNI, which multiplies pairs of int16 at twice the rate of AVX-512's fp32."""
    import torch

    return bool(torch.cpu._is_vnni_supported())


def has_amx() -> bool:
    """Whether this CPU multiplies tiles of bf16, and has the AVX-512 that goes with them."""
    import torch

    able = torch.cpu.get_capabilities()  # a virtual machine may have tiles without what multiplies them
    return bool(able.get("amx_tile") and able.get("amx_bf16") and able.get("avx512_bf16"))


def _compiled(compiler: str | None, flags: tuple[str, ...], sources: tuple[str, ...]) -> Path:
    """Path of the shared library, compiled if the cache lacks it for these `sources` and `flags`."""
    digest = hashlib.sha256(" ".join(flags).encode())
    paths = [_HERE / name for name in sources]
    for path in [*paths, *sorted(_HERE.glob("*.h"))]:
        digest.update(path.read_bytes())
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kartoteka"
    library = cache / f"kernels-{digest.hexdigest()[:16]}.so"
    if library.exists():
        return library
    if compiler is None:
        raise FileNotFoundError("there is no C compiler")
    cache.mkdir(parents=True, exist_ok=True)
    # Several actors of a node may start at once: each compiles its own file, the rename is atomic.
    handle, draft = tempfile.mkstemp(suffix=".so", dir=cache)
    os.close(handle)
    try:
        command = [compiler, *flags, *map(str, paths), "-o", draft]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        if done.returncode:
            raise subprocess.SubprocessError(f"{compiler} failed: {done.stderr.strip().splitlines()[0:1]}")
        os.replace(draft, library)
    finally:
        Path(draft).unlink(missing_ok=True)
    return library
