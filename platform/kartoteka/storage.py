"""Files of an edition, on a disk or in a bucket: every write is whole or absent.

On a local disk a file is written beside its place, synced, then renamed; an object store makes an object visible only
when its upload ends. Either way a reader, or a run that is resumed, never sees a torn file.
"""

from __future__ import annotations

import hashlib
import io
import os
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from kartoteka.copies import copy_of


@dataclass(frozen=True, slots=True)
class StoredFile:
    """What the manifest says of a file: its size in bytes, SHA-256, and rows where it is a table."""

    bytes: int
    sha256: str
    rows: int | None = None

    def as_dict(self) -> dict[str, Any]:
        """The same as plain values, without an absent row count."""
        return {key: value for key, value in asdict(self).items() if value is not None}


def absolute(given: str) -> str:
    """A folder of this machine by its whole path, for the workers run elsewhere; what is none stays as it is."""
    return os.path.abspath(os.path.expanduser(given)) if os.path.isdir(os.path.expanduser(given)) else given


class Storage:
    """A root folder, local or any URI that `pyarrow.fs` opens; paths inside it are relative, with `/`.

    Raises `ValueError` when the URI names no known file system.
    """

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.uri = os.fspath(root)
        if "://" in self.uri:
            try:
                self.fs, self.root = pafs.FileSystem.from_uri(self.uri)
            except (pa.ArrowInvalid, OSError) as error:
                raise ValueError(f"edition: cannot open {self.uri}: {error}") from None
        else:
            self.fs, self.root = pafs.LocalFileSystem(), os.path.abspath(self.uri)
        self.root = self.root.rstrip("/")

    @property
    def is_local(self) -> bool:
        """Whether the root is a folder of this machine (or of a file system all nodes share)."""
        return isinstance(self.fs, pafs.LocalFileSystem)

    def path(self, name: str) -> str:
        """The file system's own path of `name`."""
        return f"{self.root}/{name}" if name else self.root

    def whole(self, name: str = "") -> str:
        """What names the root, or the folder `name` in it, to a process that runs elsewhere: a whole path, or a URI."""
        if self.is_local:
            return self.path(name)
        place, mark, options = self.uri.partition("?")
        return f"{place.rstrip('/')}/{name}{mark}{options}" if name else self.uri

    def put(self, name: str, data: bytes | memoryview) -> StoredFile:
        """Write a whole file atomically. Raises `OSError` (a full disk, a missing permission)."""
        final = self.path(name)
        if self.is_local:
            os.makedirs(os.path.dirname(final), exist_ok=True)
            beside = f"{os.path.dirname(final)}/.{uuid.uuid4().hex}.tmp"
            try:
                with open(beside, "wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                os.replace(beside, final)
            except BaseException:
                Path(beside).unlink(missing_ok=True)
                raise
        else:
            with self.fs.open_output_stream(final) as stream:
                stream.write(data)
        return StoredFile(len(data), hashlib.sha256(data).hexdigest())

    def put_json(self, name: str, value: Any) -> StoredFile:
        """Write `value` as JSON with sorted keys."""
        return self.put(name, orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS))

    def put_table(self, name: str, table: pa.Table, group_rows: int | None = None) -> StoredFile:
        """Write `table` as one Parquet file; equal tables give equal bytes.

        `group_rows`: rows of a row group, for a table of which single rows are read; without it there is one group.
        """
        sink = io.BytesIO()
        whole = group_rows is None  # many groups' least and largest values would only make a long footer
        size = max(1, table.num_rows) if whole else group_rows
        pq.write_table(table, sink, compression="zstd", row_group_size=size, write_statistics=whole)
        stored = self.put(name, sink.getbuffer())
        return StoredFile(stored.bytes, stored.sha256, table.num_rows)

    def put_arrays(self, name: str, **arrays: np.ndarray) -> StoredFile:
        """Write `arrays` as one `.npz` file; equal arrays give equal bytes."""
        sink = io.BytesIO()
        np.savez(sink, **arrays)
        return self.put(name, sink.getbuffer())

    @contextmanager
    def folder(self, name: str, whole: bool = False) -> Iterator[Path]:
        """A local folder whose files are at `name` when the block ends: the place itself, or a copy that is put there.

        On a disk, files must be written atomically inside the block; with `whole`, the block makes the folder itself.
        """
        if self.is_local:
            place = Path(self.path(name))
            (place.parent if whole else place).mkdir(parents=True, exist_ok=True)
            yield place
            return
        with tempfile.TemporaryDirectory(prefix="kartoteka-") as beside:
            place = Path(beside, "folder")
            if not whole:
                place.mkdir()
            yield place
            for file in sorted(place.rglob("*")):
                if file.is_file():
                    self.put(f"{name}/{file.relative_to(place).as_posix()}", file.read_bytes())

    def stored(self, name: str) -> dict[str, StoredFile]:
        """Size and hash of every file below folder `name`, read back."""
        found = {}
        for file in self.list(name, recursive=True):
            digest, size = hashlib.sha256(), 0
            with self.fs.open_input_stream(self.path(file), compression=None) as stream:
                while chunk := stream.read(1 << 20):
                    digest.update(chunk)
                    size += len(chunk)
            found[file] = StoredFile(size, digest.hexdigest())
        return found

    def get(self, name: str) -> bytes:
        """The bytes of a file. Raises `FileNotFoundError`."""
        with self.fs.open_input_stream(self.path(name), compression=None) as stream:
            return stream.read()

    def get_json(self, name: str) -> Any:
        """The value of a JSON file."""
        return orjson.loads(self.get(name))

    def table(self, name: str, columns: list[str] | None = None) -> pa.Table:
        """Read one Parquet file."""
        return pq.read_table(self.path(name), columns=columns, filesystem=self.fs, partitioning=None)

    def arrays(self, name: str) -> dict[str, np.ndarray]:
        """Read one `.npz` file."""
        with np.load(io.BytesIO(self.get(name))) as found:
            return {key: found[key] for key in found.files}

    def exists(self, name: str) -> bool:
        """Whether `name` is a file or a folder here."""
        return self.fs.get_file_info(self.path(name)).type != pafs.FileType.NotFound

    def list(self, name: str, suffix: str = "", recursive: bool = False) -> list[str]:
        """The files below folder `name` that end in `suffix`, sorted; empty when the folder is absent."""
        selector = pafs.FileSelector(self.path(name), allow_not_found=True, recursive=recursive)
        prefix = len(self.root) + 1
        return sorted(
            info.path[prefix:]
            for info in self.fs.get_file_info(selector)
            if info.type == pafs.FileType.File and info.path.endswith(suffix)
        )

    def delete(self, name: str) -> None:
        """Remove a file or a folder; nothing happens where there is none."""
        info = self.fs.get_file_info(self.path(name))
        if info.type == pafs.FileType.Directory:
            self.fs.delete_dir(self.path(name))
        elif info.type == pafs.FileType.File:
            self.fs.delete_file(self.path(name))

    def local(self, name: str) -> Path:
        """A local path of the file or folder, for memory-mapping; from a bucket it is copied once per node.

        A copy is known by the path, sizes and times of what was copied: what is written anew is copied anew. It stays
        while this process lives, even if nothing uses it any more, see `kartoteka.copies`.
        """
        if self.is_local:
            return Path(self.path(name))
        found = [self.fs.get_file_info(self.path(name))]
        if found[0].type == pafs.FileType.Directory:
            found = self.fs.get_file_info(pafs.FileSelector(self.path(name), recursive=True))
        state = sorted((info.path, info.size, info.mtime_ns) for info in found)
        key = hashlib.sha256(repr(state).encode()).hexdigest()[:16]
        size = sum(info.size or 0 for info in found)
        return copy_of(key, size, lambda place: pafs.copy_files(self.path(name), str(place), source_filesystem=self.fs))

    def check_writable(self) -> None:
        """Raise `ValueError` unless a file can be written below the root."""
        probe = f".{uuid.uuid4().hex}.probe"
        try:
            self.put(probe, b"")
            self.delete(probe)
        except OSError as error:
            reason = error.strerror or str(error).splitlines()[0]
            raise ValueError(f"edition: cannot write to {self.uri}: {reason}") from None
