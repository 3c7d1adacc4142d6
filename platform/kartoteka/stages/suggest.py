"""Suggest: keyphrases for every document, each with its probability and its reasons."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kartoteka.edition import BUILD, GROUP_ROWS, Edition
from kartoteka.flow.ledger import Completion, files_of
from kartoteka.flow.stage import Step
from kartoteka.folders import mapped
from kartoteka.keyphrases.settings import KeyphraseSettings
from kartoteka.lexical.settings import LexicalSettings
from kartoteka.stages import lexical, vectors, vocabulary
from kartoteka.stages.analyse import annotated_file, withdrawn_file
from kartoteka.stages.documents import DocumentStage
from kartoteka.stages.spans import spans_of
from kartoteka.storage import Storage
from kartoteka.vectors.settings import VectorSettings

if TYPE_CHECKING:
    from kartoteka.keyphrases.spans import Trained
    from kartoteka.keyphrases.suggest import Suggester

RANKER = "ranker/ranker.npz"
#: Vectors by a trained ranker's encoder, as `keyphrases.dense` maps them, and their index; see `stages.trained`.
TRAINED = "ranker/trained"
TRAINED_INDEX = "ranker/trained-index"


@dataclass(frozen=True)
class Sources:
    """Where a suggester finds its indexes: the edition `root`, and how they are asked."""

    root: str
    keyphrases: KeyphraseSettings
    lexical: LexicalSettings
    vectors: VectorSettings

    @staticmethod
    def of(edition: Edition) -> Sources:
        """Those of a finished edition, asked as its own configuration says."""
        config = edition.manifest["config"]
        return Sources(
            edition.path,
            KeyphraseSettings.parse(config["keyphrases"]),
            LexicalSettings.parse(config["lexical"]),
            VectorSettings.parse(config["vectors"]),
        )

    def open(self, ranker: bool = True) -> Suggester:
        """Map the indexes, with the fitted ranker where there is one and it is asked for."""
        from kartoteka.allowed import Allowed
        from kartoteka.keyphrases.neighbours import AnnotatedVectors
        from kartoteka.keyphrases.suggest import Suggester
        from kartoteka.lexical.index import ShardedIndex
        from kartoteka.vectors.index import ShardedVectors

        storage = Storage(self.root)
        folder = storage.local(vocabulary.FOLDER)
        dense = None
        if self.keyphrases.retrieval != "lexical":
            index = ShardedVectors.open(storage.local(vectors.FOLDER), self.vectors)
            annotated = Allowed.of(mapped(folder / vocabulary.NUMBERS), index.documents)
            dense = AnnotatedVectors(index, None if annotated.share == 1 else annotated)
        trained_dense = None
        if storage.exists(TRAINED_INDEX):
            trained_dense = AnnotatedVectors(ShardedVectors.open(storage.local(TRAINED_INDEX), self.vectors))
        return Suggester.open(
            folder,
            ShardedIndex.open(storage.local(lexical.FOLDER), self.lexical),
            self.keyphrases,
            storage.local(RANKER) if ranker and storage.exists(RANKER) else None,
            dense,
            storage.local(TRAINED) if storage.exists(TRAINED) else None,
            trained_dense,
        )


@dataclass
class Rank(Step):
    """Adds `keyphrases_found`: the list for each document."""

    sources: Sources
    name = "rank"

    def open(self) -> None:
        """Map the indexes and read the ranker."""
        self.suggester = self.sources.open()

    def apply(self, rows: pa.Table) -> pa.Table:
        """Suggest for all rows; what one gets does not depend on the others."""
        found = self.suggester.suggest(
            rows, vectors.matrix_of(rows["vector"]), rows["own"].to_numpy(), trained_of(rows)
        )
        return rows.append_column("found", found["keyphrases"])


def numbering(annotated: dict[str, int]) -> dict[str, int]:
    """The number of the first annotated document of each part, from how many each has."""
    return dict(zip(annotated, accumulate(annotated.values(), initial=0), strict=False))


class Suggest(DocumentStage):
    """Documents with vectors to the edition's `keyphrases` table. `first` numbers the annotated ones of each part."""

    name = "suggest"

    def __init__(self, sources: Sources, first: dict[str, int]) -> None:
        self.steps = [Rank(sources)]
        self.first = first

    def load(self, storage: Storage, part: str, payload: bytes) -> pa.Table:
        """The part's documents with their vectors and own numbers."""
        return load_numbered(storage, part, self.first[part])

    def write(self, storage: Storage, part: str, rows: pa.Table, refused: pa.Table) -> Completion:
        """Put the part's keyphrases into the edition."""
        name = f"keyphrases/{part}.parquet"
        table = rows.select(["id", "found"]).rename_columns(["id", "keyphrases"])
        stored = storage.put_table(name, table, GROUP_ROWS["keyphrases"])
        if refused.num_rows:
            storage.put_table(withdrawn_file(self.name, part), refused)
        categories = rows["found"].combine_chunks().flatten().field("category").value_counts()
        return Completion(
            part,
            rows.num_rows + refused.num_rows,
            rows.num_rows,
            refused.num_rows,
            facts={"categories": {c["values"].as_py(): c["counts"].as_py() for c in categories}},
            files=files_of({name: stored}),
        )


def load_numbered(storage: Storage, part: str, first: int) -> pa.Table:
    """Documents of a part with `vector`, and `own`: the number among all annotated documents, -1 for none.

    With `trained`, the vector by the trained ranker's encoder, where one is at work, and `spans` where it has a head.
    """
    rows = storage.table(f"documents/{part}.parquet")
    rows = rows.append_column("vector", storage.table(f"embeddings/{part}.parquet", ["vector"])["vector"])
    if storage.exists(trained_file(part)):
        trained = storage.table(trained_file(part))
        rows = rows.append_column("trained", trained["vector"])
        if "spans" in trained.column_names:
            rows = rows.append_column("spans", trained["spans"])
    return rows.append_column("own", pa.array(own_numbers(storage, part, rows["id"], first)))


def own_numbers(storage: Storage, part: str, ids: pa.ChunkedArray, first: int) -> np.ndarray:
    """The number of each of a part's `ids` among all annotated documents, int64 [n], -1 for none."""
    annotated = storage.table(annotated_file(part), ["id"])["id"].combine_chunks()
    place = pc.index_in(ids.combine_chunks().cast(annotated.type), annotated)
    return pc.fill_null(pc.add(place.cast(pa.int64()), first), -1).to_numpy()


def trained_file(part: str) -> str:
    """Vectors and spans of the part's documents by the trained ranker's encoder."""
    return f"{BUILD}/trained/{part}.parquet"


def trained_of(rows: pa.Table) -> Trained | None:
    """The columns `trained` and `spans` of `load_numbered`, where there are."""
    from kartoteka.keyphrases.spans import Trained

    if "trained" not in rows.column_names:
        return None
    spans = spans_of(rows["spans"]) if "spans" in rows.column_names else None
    return Trained(vectors.matrix_of(rows["trained"]), spans)
