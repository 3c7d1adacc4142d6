"""Vocabulary: the phrases of the annotated archive, what is known of each, and their vectors, for the ranker.

Three steps: one task merges what the parts say; the distinct phrases are encoded in blocks, once each; one task writes
the arrays that the ranker maps.
"""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kartoteka.edition import BUILD
from kartoteka.flow.build import Build
from kartoteka.flow.ledger import Completion, files_of
from kartoteka.flow.stage import Stage
from kartoteka.folders import whole_folder
from kartoteka.keyphrases import archive as archives
from kartoteka.keyphrases.dense import write_vectors
from kartoteka.stages.analyse import annotated_file
from kartoteka.stages.embed import Encode, Encoding
from kartoteka.stages.vectors import embeddings_of, matrix_of
from kartoteka.storage import Storage

MERGED = f"{BUILD}/vocabulary"
FOLDER = "ranker/archive"
#: Where each annotated document is in the vector index.
NUMBERS = "vector_numbers.npy"
#: Phrases encoded as one part.
BLOCK = 4_096


@dataclass(frozen=True)
class MergeArchive:
    """Phrases, forms and words of all annotated documents, from the tables of the parts."""

    parts: Sequence[str]

    def __call__(self, storage: Storage) -> Completion:
        """Merge them into the build."""
        with storage.folder(MERGED, whole=True) as place, whole_folder(place) as folder:
            archives.merge(lambda: (storage.table(annotated_file(part)) for part in self.parts), folder)
        archive = archives.Archive.open(storage.local(MERGED))
        return Completion("", archive.documents, archive.documents, facts={"phrases": archive.phrases})


class EncodePhrases(Stage):
    """Blocks of the phrase table to vectors, kept in the build under the stage's `name`."""

    def __init__(self, encoding: Encoding, gpus: float, name: str = "phrases") -> None:
        self.steps = [Encode(encoding, "", gpus)]
        self.name = name

    def load(self, storage: Storage, part: str, payload: bytes) -> pa.Table:
        """The phrases of a block, as documents of a title only."""
        start = BLOCK * int(part.removeprefix("block-"))
        phrases = archives.Archive.open(storage.local(MERGED)).surfaces.slice(start, BLOCK)
        return pa.table({"title": phrases, "abstract": pa.array([""] * len(phrases), pa.string())})

    def refusal(self, rows: pa.Table, row: int, reason: str, detail: str) -> dict[str, object]:
        """A phrase is part of a document that was read well: it cannot be set aside alone."""
        raise RuntimeError(
            f"vocabulary: the phrase {rows['title'][row].as_py()!r} cannot be encoded: {reason}, {detail}"
        )

    def write(self, storage: Storage, part: str, rows: pa.Table, refused: pa.Table) -> Completion:
        """Put the vectors of a block into the build."""
        sink = io.BytesIO()
        np.save(sink, matrix_of(rows["vector"]))
        storage.put(_vectors(self.name, part), sink.getvalue())
        return Completion(part, rows.num_rows, rows.num_rows)


@dataclass(frozen=True)
class WriteVocabulary:
    """The folder that the ranker maps: the merged archive and the vectors of its documents and phrases."""

    parts: Sequence[str]
    blocks: Sequence[str]

    def __call__(self, storage: Storage) -> Completion:
        """Write it into the edition."""
        merged = storage.local(MERGED)
        archive = archives.Archive.open(merged)
        with storage.folder(FOLDER, whole=True) as place, whole_folder(place) as folder:
            shutil.copytree(merged, folder, dirs_exist_ok=True)
            numbers: list[np.ndarray] = []
            if self.blocks:
                dimension, phrases = phrase_vectors(storage, "phrases", self.blocks)
                write_vectors(folder, archive, dimension, self._documents(storage, numbers), phrases)
            np.save(folder / NUMBERS, np.concatenate([np.zeros(0, np.int64), *numbers]))
        return Completion("", archive.documents, archive.documents, files=files_of(storage.stored(FOLDER)))

    def _documents(self, storage: Storage, numbers: list[np.ndarray]) -> Iterator[np.ndarray]:
        """The vectors of each part's annotated documents; notes their numbers among all documents on the way."""
        base = 0
        for part in self.parts:
            ids, vectors = embeddings_of(storage, part)
            rows = annotated_places(storage, part, ids)
            if len(rows):
                numbers.append(base + rows)
                yield vectors[rows]
            base += len(ids)


def annotated_places(storage: Storage, part: str, ids: pa.ChunkedArray) -> np.ndarray:
    """Where the part's annotated documents are among its `ids`, int64, in archive order."""
    annotated = storage.table(annotated_file(part), ["id"])["id"]
    return pc.index_in(annotated.combine_chunks(), ids.combine_chunks()).to_numpy(False).astype(np.int64)


def blocks_of(phrases: int) -> dict[str, int]:
    """The blocks in which so many phrases are encoded, and how many each holds."""
    return {f"block-{start // BLOCK:05d}": min(BLOCK, phrases - start) for start in range(0, phrases, BLOCK)}


def phrase_vectors(storage: Storage, stage: str, blocks: Sequence[str]) -> tuple[int, Iterator[np.ndarray]]:
    """What `EncodePhrases` under the name `stage` gave: the dimension, and the vectors of each block."""
    files = [_vectors(stage, block) for block in blocks]
    return np.load(io.BytesIO(storage.get(files[0]))).shape[1], (np.load(io.BytesIO(storage.get(f))) for f in files)


def build_vocabulary(build: Build, annotated: dict[str, int], encoding: Encoding, gpus: float) -> None:
    """Run the three steps over the `annotated` documents (rows by part, in archive order)."""
    merged = build.run_tasks("archive", {"all": MergeArchive(list(annotated))})["all"]
    blocks = blocks_of(merged.facts["phrases"])
    build.run(EncodePhrases(encoding, gpus), blocks)
    build.run_tasks("vocabulary", {"all": WriteVocabulary(list(annotated), list(blocks))})


def _vectors(stage: str, block: str) -> str:
    return f"{BUILD}/{stage}-vectors/{block}.npy"
