"""Embed: unique documents to vectors, and the edition's `documents`, `quarantine` and `embeddings` tables.

The hot path. With a GPU, tokenising is a pool of its own on the CPUs; without one, a worker per core does both.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from kartoteka.documents import DOCUMENT_SCHEMA, QUARANTINE_SCHEMA, Reason, quarantine_table
from kartoteka.edition import GROUP_ROWS
from kartoteka.encoding.settings import DEFAULT_MODEL, EncodingSettings
from kartoteka.flow.ledger import Completion, files_of
from kartoteka.flow.stage import Resources, Step, drop
from kartoteka.ragged import lists_of, with_lists
from kartoteka.settings import Settings
from kartoteka.stages.documents import DocumentStage, refuse_document
from kartoteka.stages.identify import duplicate_rows
from kartoteka.stages.read import documents_of, refusals_of
from kartoteka.storage import Storage

if TYPE_CHECKING:
    from kartoteka.encoding.encoder import Encoder
    from kartoteka.encoding.tokens import Tokens


class EmbedSettings(Settings):
    """What is embedded: section `[embed]`."""

    separator: str = ". "
    """Between title and abstract. SciRus was trained with `</s>`."""


@dataclass(frozen=True)
class Encoding:
    """Which encoder, from where, and how it is run."""

    model: str = DEFAULT_MODEL
    revision: str | None = None
    settings: EncodingSettings = field(default_factory=EncodingSettings)

    def load(self, device: str) -> Encoder:
        """The encoder in this process. Raises `ValueError` naming what is wrong with the model."""
        from kartoteka.encoding.encoder import load_encoder

        return load_encoder(self.model, revision=self.revision, device=device, settings=self.settings)


def texts_of(rows: pa.Table, separator: str) -> list[str]:
    """What the encoder reads of each document."""
    return [
        f"{title}{separator}{abstract}" if title and abstract else title or abstract
        for title, abstract in zip(rows["title"].to_pylist(), rows["abstract"].to_pylist(), strict=True)
    ]


@dataclass
class Tokenise(Step):
    """Adds `tokens`: the encoder's token ids of each document. Needs no GPU."""

    encoding: Encoding
    separator: str
    name = "tokenise"

    def open(self) -> None:
        """Load the encoder for its tokeniser."""
        self.encoder = self.encoding.load("cpu")

    def apply(self, rows: pa.Table) -> pa.Table:
        """Tokenise title and abstract."""
        tokens = self.encoder.tokenise(texts_of(rows, self.separator))
        return with_lists(rows, {"tokens": tokens.ids}, tokens.offsets)


@dataclass
class Encode(Step):
    """Adds `vector`, float16 [d] of unit length, from `tokens` or the text, and the `precision` it was computed in.

    Batches are formed inside the part.
    """

    encoding: Encoding
    separator: str
    gpus: float = 0.0
    name = "encode"

    def __post_init__(self) -> None:
        self.resources = Resources(1.0, self.gpus)

    def open(self) -> None:
        """Load the weights onto this worker's device."""
        self.encoder = self.encoding.load("cuda" if self.gpus else "cpu")

    def apply(self, rows: pa.Table) -> pa.Table:
        """Encode all rows."""
        if "tokens" in rows.column_names:
            vectors = self.encoder.encode_tokens(tokens_of(rows["tokens"]))
            rows = rows.drop_columns("tokens")
        else:
            vectors = self.encoder.encode(texts_of(rows, self.separator))
        return self.with_vectors(rows, vectors)

    def with_vectors(self, rows: pa.Table, vectors: np.ndarray) -> pa.Table:
        """`rows` with the columns that this step adds."""
        flat = pa.array(vectors.astype(np.float16).reshape(-1))
        rows = rows.append_column("vector", pa.FixedSizeListArray.from_arrays(flat, self.encoder.dimension))
        return rows.append_column(
            "precision", pa.array([str(self.encoder.identity["precision"])] * rows.num_rows, pa.string())
        )


def tokens_of(column: pa.ChunkedArray) -> Tokens:
    """The tokens in a column that `Tokenise` added."""
    from kartoteka.encoding.tokens import Tokens

    ids, offsets = lists_of(column)
    return Tokens(ids, offsets, np.zeros(len(column), bool))


def encoding_steps(encoding: Encoding, separator: str, gpus: float) -> list[Step]:
    """Documents to vectors; with a GPU, tokenising is a step of its own."""
    encode = Encode(encoding, separator, gpus)
    return [Tokenise(encoding, separator), encode] if gpus else [encode]


class Embed(DocumentStage):
    """Documents of a read part, without duplicates, to documents with vectors."""

    name = "embed"

    def __init__(self, encoding: Encoding, embed: EmbedSettings, gpus: float = 0.0) -> None:
        self.steps = encoding_steps(encoding, embed.separator, gpus)

    def load(self, storage: Storage, part: str, payload: bytes) -> pa.Table:
        """The rows whose id is theirs."""
        rows = storage.table(documents_of(part))
        return drop(rows, [row for row, _, _ in duplicate_rows(storage, part)])

    def write(self, storage: Storage, part: str, rows: pa.Table, refused: pa.Table) -> Completion:
        """Put the part's documents, vectors and quarantined rows into the edition."""
        read = storage.table(documents_of(part))
        duplicates = [
            refuse_document(
                read.slice(row, 1).to_pylist()[0], Reason.DUPLICATE_ID, f"first seen at {first}", "identify"
            )
            for row, _, first in duplicate_rows(storage, part)
        ]
        earlier = storage.table(refusals_of(part)).cast(QUARANTINE_SCHEMA)
        quarantine = pa.concat_tables([earlier, quarantine_table(duplicates), refused])
        documents = rows.select(DOCUMENT_SCHEMA.names)
        names = {table: f"{table}/{part}.parquet" for table in ("documents", "embeddings", "quarantine")}
        files = {
            names["documents"]: storage.put_table(names["documents"], documents, GROUP_ROWS["documents"]),
            names["embeddings"]: storage.put_table(names["embeddings"], rows.select(["id", "vector"])),
        }
        if quarantine.num_rows:
            files[names["quarantine"]] = storage.put_table(names["quarantine"], quarantine)
        keyphrases = documents["keyphrases"].to_pylist()
        return Completion(
            part,
            rows_in=documents.num_rows + refused.num_rows,
            rows_out=documents.num_rows,
            quarantined=refused.num_rows,
            facts={
                "languages": _counts(documents["lang"].to_pylist()),
                "years": _counts(str(year) for year in documents["year"].to_pylist() if year is not None),
                "reasons": _counts(quarantine["reason"].to_pylist()),
                "precisions": _counts(rows["precision"].to_pylist()),
                "annotated": sum(1 for phrases in keyphrases if phrases),
            },
            files=files_of(files),
        )


def _counts(values: Iterable[object]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for value in values:
        counts[str(value)] = counts.get(str(value), 0) + 1
    return counts
