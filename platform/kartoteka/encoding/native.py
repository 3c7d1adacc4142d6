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
_SOURCES = [_HERE / "int16.c", _HERE / "layer.c"]
_FLAGS = ["-O3", "-std=gnu11", "-mavx2", "-mfma", "-fno-math-errno", "-shared", "-fPIC"]
_VNNI_FLAGS = ["-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512vnni", "-mprefer-vector-width=256"]


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
    if platform.machine() not in ("x86_64", "AMD64") or os.name != "posix":
        return None
    compiler = shutil.which(os.environ.get("CC", "cc")) or shutil.which("gcc") or shutil.which("clang")
    try:
        library = ctypes.CDLL(str(_compiled(compiler, _FLAGS + (_VNNI_FLAGS if has_vnni() else []))))
    except (OSError, RuntimeError, subprocess.SubprocessError) as error:
        _log.warning("no compiled kernels, so encoding takes torch's fp32: %s", error)
        return None
    library.layer_room.restype = ctypes.c_long
    library.layer_room.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.POINTER(Shape)]
    pointer, size = ctypes.c_void_p, ctypes.c_long
    library.run_layer.argtypes = [ctypes.POINTER(Layer), ctypes.POINTER(Shape), pointer, size, size, pointer, pointer]
    library.run_layer.restype = None
    return library


def has_vnni() -> bool:
    """Whether this CPU has AVX-512 VNNI, which multiplies pairs of int16 at twice the rate of AVX-512's fp32."""
    import torch

    return bool(torch.cpu._is_vnni_supported())


def _compiled(compiler: str | None, flags: list[str]) -> Path:
    """Path of the shared library, compiled if the cache lacks it for these sources and `flags`."""
    digest = hashlib.sha256(" ".join(flags).encode())
    for path in [*_SOURCES, _HERE / "int16.h"]:
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
        command = [compiler, *flags, *map(str, _SOURCES), "-o", draft]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        if done.returncode:
            raise subprocess.SubprocessError(f"{compiler} failed: {done.stderr.strip().splitlines()[0:1]}")
        os.replace(draft, library)
    finally:
        Path(draft).unlink(missing_ok=True)
    return library
