"""Vectors: the FAISS index of all documents, exact below a size, inverted lists above, in shards of one quantiser."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from kartoteka.edition import BUILD
from kartoteka.flow.build import Build
from kartoteka.flow.ledger import Completion, files_of
from kartoteka.stages.lexical import shards_of
from kartoteka.storage import Storage
from kartoteka.vectors.settings import VectorSettings

FOLDER = "vectors"
#: Ids and vectors [n, d] of a part, to be indexed.
Read = Callable[[Storage, str], tuple[pa.ChunkedArray, np.ndarray]]


def matrix_of(vectors: pa.ChunkedArray) -> np.ndarray:
    """A column of vectors as a matrix [n, d]."""
    array = vectors.combine_chunks()
    return array.flatten().to_numpy().reshape(len(array), array.type.list_size)


def embeddings_of(storage: Storage, part: str) -> tuple[pa.ChunkedArray, np.ndarray]:
    """Ids and vectors float16 [n, d] of a part."""
    table = storage.table(f"embeddings/{part}.parquet")
    return table["id"], matrix_of(table["vector"])


@dataclass(frozen=True)
class TrainQuantiser:
    """Choose how vectors are held, from a sample spread evenly over the archive."""

    documents: dict[str, int]
    settings: VectorSettings
    read: Read
    name: str

    def __call__(self, storage: Storage) -> Completion:
        """Train and keep the quantiser in the build."""
        from kartoteka.vectors.choose import sample_size, train

        count = sum(self.documents.values())
        wanted = np.linspace(0, count, max(1, sample_size(count, self.settings)), endpoint=False).astype(np.int64)
        pieces, start = [], 0
        for part, rows in self.documents.items():
            inside = wanted[(wanted >= start) & (wanted < start + rows)] - start
            if len(inside):
                pieces.append(self.read(storage, part)[1][inside])
            start += rows
        quantiser = train(np.concatenate(pieces), count, self.settings)
        with storage.folder(self.name, whole=True) as folder:
            quantiser.save(folder)
        return Completion("", facts={"probes": quantiser.probes, "lists": quantiser.lists})


@dataclass(frozen=True)
class BuildShard:
    """One shard: some consecutive parts."""

    parts: Sequence[str]
    name: str
    read: Read
    quantiser: str

    def __call__(self, storage: Storage) -> Completion:
        """Build it and put it into the edition."""
        from kartoteka.vectors.choose import Quantiser
        from kartoteka.vectors.shard import build_shard

        ids, vectors = zip(*(self.read(storage, part) for part in self.parts), strict=True)
        joined = pa.chunked_array([chunk for column in ids for chunk in column.chunks]).combine_chunks()
        with storage.folder(self.name, whole=True) as folder:
            build_shard(np.concatenate(vectors), joined, Quantiser.load(storage.local(self.quantiser)), folder)
        return Completion("", rows_in=len(joined), rows_out=len(joined), files=files_of(storage.stored(self.name)))


def index_vectors(
    build: Build,
    documents: dict[str, int],
    settings: VectorSettings,
    shard_documents: int,
    read: Read = embeddings_of,
    folder: str = FOLDER,
) -> None:
    """Build the index in `folder` over `documents` (rows by part, in archive order), whose vectors `read` gives."""
    prefix = "" if folder == FOLDER else f"{folder.rsplit('/', 1)[-1]}-"
    quantiser = f"{BUILD}/{prefix}quantiser"
    build.run_tasks(f"{prefix}quantiser", {"all": TrainQuantiser(documents, settings, read, quantiser)})
    tasks = {
        f"shard-{number:04d}": BuildShard(parts, f"{folder}/shard-{number:04d}", read, quantiser)
        for number, parts in enumerate(shards_of(documents, shard_documents))
    }
    build.run_tasks(f"{prefix}vectors", tasks)
