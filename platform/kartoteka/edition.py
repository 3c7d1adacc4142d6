"""An edition: an immutable, versioned result of re-indexing. It exists once its manifest does, and not before."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from kartoteka.storage import Storage

#: 2: catalogue and search, tables of which single rows are looked up in small row groups.
FORMAT = 2
MANIFEST = "manifest.json"
#: Where a run keeps what is not yet part of the edition; removed when the manifest is there.
BUILD = "_build"
#: Tables of which the online service reads single rows, and how many of them a Parquet row group holds.
GROUP_ROWS = {"documents": 64, "keyphrases": 64}
#: The manifest cannot hold its own hash, and the report is a view of what the manifest commits.
UNLISTED = (MANIFEST, "report.html")


@dataclass(frozen=True)
class Edition:
    """A committed edition, opened for reading."""

    path: str
    manifest: dict[str, Any]

    @property
    def storage(self) -> Storage:
        """The files of the edition."""
        return Storage(self.path)

    def files(self, table: str) -> list[str]:
        """The Parquet files of `table` that the manifest commits, in part order."""
        return sorted(f for f in self.manifest["files"] if f.startswith(f"{table}/part-") and f.endswith(".parquet"))

    def table(self, name: str) -> ds.Dataset:
        """The table `name` (`documents`, `keyphrases`, ...) as an Arrow dataset over the committed files.

        Raises `ValueError` when the edition has no such table.
        """
        storage, files = self.storage, self.files(name)
        if not files:
            raise ValueError(f"edition: {self.path} has no table `{name}`")
        return ds.dataset([storage.path(file) for file in files], format="parquet", filesystem=storage.fs)

    def summary(self, name: str) -> pa.Table | None:
        """The one table that sums up the table `name` (`clusters`); None where the edition has none."""
        file = f"{name}/summary.parquet"
        return self.storage.table(file) if file in self.manifest["files"] else None


def open(path: str | os.PathLike[str]) -> Edition:  # noqa: A001 - edition.open reads as what it is
    """Open a committed edition.

    Raises `ValueError`: there is no such folder, it has no manifest (a run that has not ended), or another format.
    """
    path = os.fspath(path)
    storage = Storage(path)
    if not storage.exists(""):
        raise ValueError(f"edition: {path} does not exist")
    try:
        manifest = storage.get_json(MANIFEST)
    except (FileNotFoundError, NotADirectoryError):
        unfinished = storage.exists(BUILD)
        why = (
            "its run has not ended; the same `reindex` command finishes it" if unfinished else "it has no manifest.json"
        )
        raise ValueError(f"edition: {path} is not an edition: {why}") from None
    except ValueError as error:
        raise ValueError(f"edition: {path}/manifest.json is not JSON: {error}") from None
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        found = manifest.get("format") if isinstance(manifest, dict) else type(manifest).__name__
        raise ValueError(f"edition: {path} has format {found!r}; this version reads {FORMAT}")
    return Edition(path, manifest)


def parts_of(edition: Storage) -> list[str]:
    """The parts of an edition, in its order. Raises `ValueError` when it has no documents."""
    parts = [name.split("/")[-1].removesuffix(".parquet") for name in edition.list("documents", ".parquet")]
    if not parts:
        raise ValueError(f"edition: {edition.uri} has no documents")
    return parts


def read_documents(edition: Storage, columns: Sequence[str], rows: int) -> Iterator[pa.Table]:
    """The documents of an edition, up to `rows` at a time, in its order. Raises `ValueError` when it has none."""
    for part in parts_of(edition):
        name = edition.path(f"documents/{part}.parquet")
        with edition.fs.open_input_file(name) as file, pq.ParquetFile(file) as table:
            for batch in table.iter_batches(rows, columns=list(columns)):
                yield pa.Table.from_batches([batch])


@dataclass(frozen=True, slots=True)
class Fault:
    """One file that is not as the manifest says: `what` is `missing`, `changed` or `extra`."""

    file: str
    what: str


def verify(edition: Edition) -> Iterator[Fault]:
    """Hash every file of the edition against its manifest; yields what differs, nothing when it is whole."""
    storage, listed = edition.storage, edition.manifest["files"]
    present = set(storage.list("", recursive=True))
    for name in sorted(listed):
        if name not in present:
            yield Fault(name, "missing")
        elif _sha256(storage, name) != listed[name]["sha256"]:
            yield Fault(name, "changed")
    for name in sorted(present - set(listed) - set(UNLISTED)):
        if not name.startswith(f"{BUILD}/"):
            yield Fault(name, "extra")


def _sha256(storage: Storage, name: str) -> str:
    digest = hashlib.sha256()
    with storage.fs.open_input_stream(storage.path(name), compression=None) as stream:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()
