"""The pointer: a small file that says which edition is served. `promote` moves it; rolling back is moving it again."""

from __future__ import annotations

import os
import time

from kartoteka.storage import Storage

#: The name of a pointer in the folder that holds the editions.
NAME = "current.json"


def resolve(path: str | os.PathLike[str]) -> str:
    """The path of the edition that `path` stands for: a pointer's (a `.json` file), or an edition itself.

    Raises `ValueError`: the pointer is missing or is none.
    """
    path = os.fspath(path)
    return read(path)["edition"] if path.endswith(".json") else path


def read(pointer: str | os.PathLike[str]) -> dict[str, str]:
    """`edition`: where it is; `promoted`: since when. An edition beside the pointer may be named without its folder.

    Raises `ValueError`: there is no pointer, or it says something else.
    """
    storage, name = _place(pointer)
    try:
        values = storage.get_json(name)
        edition = values["edition"]
        inside = "/" not in edition and storage.exists(edition)
    except FileNotFoundError:
        raise ValueError(f"edition: {os.fspath(pointer)} does not exist; `kartoteka promote` makes it") from None
    except (ValueError, TypeError, KeyError):
        raise ValueError(f"edition: {os.fspath(pointer)} is not a pointer to an edition") from None
    return values | {"edition": f"{storage.uri.rstrip('/')}/{edition}" if inside else edition}


def move(pointer: str | os.PathLike[str], edition: str) -> None:
    """Let the pointer say `edition`, whole or not at all."""
    storage, name = _place(pointer)
    folder = storage.uri.rstrip("/")
    parent, _, last = edition.rstrip("/").rpartition("/")
    value = last if parent == folder else edition
    storage.put_json(name, {"edition": value, "promoted": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())})


def beside(edition: str) -> str:
    """Where the pointer of an edition is unless it is named: in the folder that holds the edition."""
    folder = edition.rstrip("/").rpartition("/")[0] or "."
    return f"{folder}/{NAME}"


def _place(pointer: str | os.PathLike[str]) -> tuple[Storage, str]:
    folder, _, name = os.fspath(pointer).rpartition("/")
    return Storage(folder or "."), name
