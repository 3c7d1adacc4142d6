"""Folders of arrays on a local disk: written whole or not at all, and checked when they are opened.

A shard is several files that mean nothing apart. It is written beside its place and renamed when all of it is on the
disk; its description lists the size of each file, so that a torn or missing one is named at once, not by a wild read.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import orjson
import pyarrow as pa

DESCRIPTION = "shard.json"
#: The table of document ids that stands beside arrays, one row a number.
IDS = pa.schema([pa.field("id", pa.large_string(), nullable=False)])
S = TypeVar("S")
#: A named tuple of arrays.
A = TypeVar("A", bound=tuple)


@contextmanager
def whole_folder(target: str | os.PathLike[str]) -> Iterator[Path]:
    """A new folder to write into; it takes the place of `target` when the block ends without an error.

    Its files can be read by all who can read the folder: safetensors gives its own to their writer alone.

    Raises `OSError` (a full disk, a missing permission); nothing of the new folder is left then.
    """
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.parent / f".{target.name}.{uuid.uuid4().hex}.tmp"
    beside.mkdir()
    try:
        yield beside
        readable = beside.stat().st_mode & 0o444
        for place in beside.rglob("*"):
            if place.is_file():
                place.chmod(place.stat().st_mode | readable)
            _sync(place)
        _sync(beside)
        if target.exists():  # a rename replaces only an empty folder
            aside = target.parent / f".{target.name}.{uuid.uuid4().hex}.old"
            target.rename(aside)
            beside.rename(target)
            shutil.rmtree(aside)
        else:
            beside.rename(target)
        _sync(target.parent)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def mapped_ids(path: Path) -> pa.ChunkedArray:
    """The ids in an Arrow file of the schema `IDS`, memory-mapped. Raises `OSError` or `pa.ArrowException`."""
    return pa.ipc.open_file(pa.memory_map(str(path))).read_all().column("id")


def mapped(path: str | os.PathLike[str]) -> np.ndarray:
    """A `.npy` file mapped into memory, as a plain array: `np.memmap` costs time in every call of numpy and numba.

    Raises `OSError`, `ValueError` or `EOFError` when the file is missing or torn.
    """
    return np.asarray(np.load(path, mmap_mode="r"))


def new_array(folder: Path, name: str, kind: np.dtype | type, *shape: int) -> np.ndarray:
    """A `.npy` file of zeros in `folder`, mapped into memory, to be filled in and flushed."""
    return np.lib.format.open_memmap(folder / f"{name}.npy", mode="w+", dtype=kind, shape=shape)


def write_arrays(folder: Path, arrays: A, ids: Sequence[str]) -> str:
    """Write a named tuple of `arrays` and the `ids` of their rows into `folder`; SHA-256 of the arrays."""
    digest = hashlib.sha256()
    for name, array in arrays._asdict().items():
        np.save(folder / f"{name}.npy", array)
        digest.update(array.tobytes())
    with pa.OSFile(str(folder / "ids.arrow"), "wb") as file, pa.ipc.new_file(file, IDS) as writer:
        writer.write_table(pa.table([ids], schema=IDS))
    return digest.hexdigest()


def open_arrays(folder: str | os.PathLike[str], kind: str, names: type[A]) -> A:
    """Map what `write_arrays` wrote of the tuple `names` into a folder that was described since.

    Raises `ValueError` as `description` does.
    """
    description(folder, kind)
    return names(*(mapped(Path(folder) / f"{name}.npy") for name in names._fields))


def describe(folder: Path, kind: str, values: dict[str, Any]) -> None:
    """Write the description of `folder`: `values` and the size in bytes of every file that is there."""
    files = {file.name: file.stat().st_size for file in sorted(folder.iterdir())}
    text = orjson.dumps({**values, "kind": kind, "files": files}, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS)
    (folder / DESCRIPTION).write_bytes(text)


def description(folder: str | os.PathLike[str], kind: str) -> dict[str, Any]:
    """The description of a folder, once its files have been compared with it.

    Raises `ValueError` naming the file that is missing, torn, or not of this `kind`.
    """
    folder = Path(folder)
    path = folder / DESCRIPTION
    try:
        values = orjson.loads(path.read_bytes())
    except OSError as error:
        raise ValueError(f"{kind}: cannot read {path}: {error.strerror}") from None
    except orjson.JSONDecodeError as error:
        raise ValueError(f"{kind}: {path} is not a description: {error}") from None
    if not isinstance(values, dict) or values.get("kind") != kind:
        raise ValueError(f"{kind}: {path} does not describe a shard of this kind")
    for name, size in values["files"].items():
        file = folder / name
        if not file.is_file():
            raise ValueError(f"{kind}: {file} is missing")
        if file.stat().st_size != size:
            raise ValueError(f"{kind}: {file} is torn: {file.stat().st_size} bytes of {size}")
    return values


def open_shards(
    source: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    kind: str,
    open_shard: Callable[[Path], S],
    common: Callable[[S], object],
    otherwise: str,
) -> list[S]:
    """Open the shards of a directory (its subfolders by name), or the given shard folders in their order.

    `common` is what all shards of one index have in common. Raises `ValueError`: no shard, or one that differs in it;
    `otherwise` says in words what that one is.
    """
    if isinstance(source, (str, os.PathLike)):
        folders = sorted(path for path in Path(source).glob("[!.]*") if path.is_dir())
    else:
        folders = [Path(folder) for folder in source]
    if not folders:
        raise ValueError(f"{kind}: no shard in {source}")
    shards = [open_shard(folder) for folder in folders]
    for folder, shard in zip(folders, shards, strict=True):
        if common(shard) != common(shards[0]):
            raise ValueError(f"{kind}: {folder} {otherwise}")
    return shards


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
