"""Trained: what a trained ranker's encoder gives documents and phrases, beside the archive's own vectors.

The encoder of an edition serves similarity and search; the ranker's was trained to bring documents and keyphrases
together, and serves the ranking alone. Its document vectors and span scores stay in the build; what the ranking maps is
part of the edition: int8 codes of the annotated documents and of the phrases, and the index of the former.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kartoteka.encoding.settings import EncodingSettings
from kartoteka.flow.build import Build
from kartoteka.flow.ledger import Completion, files_of
from kartoteka.folders import whole_folder
from kartoteka.keyphrases.archive import Archive
from kartoteka.keyphrases.dense import write_vectors
from kartoteka.ranking.directory import RankerFiles
from kartoteka.settings import Settings
from kartoteka.stages.analyse import withdrawn_file
from kartoteka.stages.documents import DocumentStage
from kartoteka.stages.embed import Encoding, encoding_steps
from kartoteka.stages.spans import span_steps
from kartoteka.stages.suggest import TRAINED, TRAINED_INDEX, trained_file
from kartoteka.stages.vectors import index_vectors, matrix_of
from kartoteka.stages.vocabulary import MERGED, EncodePhrases, annotated_places, blocks_of, phrase_vectors
from kartoteka.storage import Storage
from kartoteka.vectors.settings import VectorSettings

_PHRASES = "trained-phrases"


class TrainedSettings(Settings):
    """What a trained ranker is used for beside its cosines: section `[trained]`, of no effect without `--ranker`."""

    neighbours: bool = True
    """Whether its vectors also find neighbours: one more list, beside those of `[keyphrases] retrieval`."""


class EncodeTrained(DocumentStage):
    """The documents of a part to the ranker's vectors, and to the scores of their spans where its encoder has a head.

    `phrases` gives the archive's phrases their vectors.

    Its encoder is run as `settings` say, but what it reads of a text is its own affair.
    """

    name = "trained"

    def __init__(self, ranker: RankerFiles, settings: EncodingSettings, gpus: float = 0.0) -> None:
        self.phrases = EncodePhrases(self.encoding(ranker, settings, ranker.phrase_tokens), gpus, _PHRASES)
        whole = self.encoding(ranker, settings, None)
        if ranker.spans is None:
            self.steps = encoding_steps(whole, ranker.separator, gpus)
        else:
            self.steps = span_steps(whole, ranker.separator, ranker.spans, gpus)

    @staticmethod
    def encoding(ranker: RankerFiles, settings: EncodingSettings, tokens: int | None) -> Encoding:
        """How the ranker's encoder is run; `tokens` of a text are read (None: as many as the model takes)."""
        own = settings.model_copy(update={"max_tokens": tokens, "prompt": None})
        return Encoding(str(ranker.encoder), None, own)

    def load(self, storage: Storage, part: str, payload: bytes) -> pa.Table:
        """The part's documents."""
        return storage.table(f"documents/{part}.parquet")

    def write(self, storage: Storage, part: str, rows: pa.Table, refused: pa.Table) -> Completion:
        """Put the vectors, and spans where there are, into the build.

        A refused document, which will be withdrawn, has the vector 0 and no spans until then.
        """
        ids = storage.table(f"documents/{part}.parquet", ["id"])["id"]
        found = matrix_of(rows["vector"])
        vectors = np.zeros((len(ids), found.shape[1]), found.dtype)
        vectors[pc.index_in(rows["id"].combine_chunks(), ids.combine_chunks()).to_numpy()] = found
        column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), vectors.shape[1])
        table = pa.table({"id": ids, "vector": column})
        if "spans" in rows.column_names:
            places = pc.index_in(ids.combine_chunks(), rows["id"].combine_chunks())
            table = table.append_column("spans", rows["spans"].take(places))
        storage.put_table(trained_file(part), table)
        if refused.num_rows:
            storage.put_table(withdrawn_file(self.name, part), refused)
        return Completion(part, rows.num_rows + refused.num_rows, rows.num_rows, refused.num_rows)


def annotated_vectors(storage: Storage, part: str) -> tuple[pa.ChunkedArray, np.ndarray]:
    """Ids and the ranker's vectors float16 [n, d] of a part's annotated documents, in archive order."""
    table = storage.table(trained_file(part))
    rows = annotated_places(storage, part, table["id"])
    return table["id"].take(pa.array(rows)), matrix_of(table["vector"])[rows]


@dataclass(frozen=True)
class WriteTrained:
    """The folder that the ranking maps: vectors of annotated documents and of phrases."""

    parts: Sequence[str]
    blocks: Sequence[str]

    def __call__(self, storage: Storage) -> Completion:
        """Write it into the edition."""
        archive = Archive.open(storage.local(MERGED))
        dimension, phrases = phrase_vectors(storage, _PHRASES, self.blocks)
        with storage.folder(TRAINED, whole=True) as place, whole_folder(place) as folder:
            write_vectors(folder, archive, dimension, self._documents(storage), phrases)
        return Completion("", archive.documents, archive.documents, files=files_of(storage.stored(TRAINED)))

    def _documents(self, storage: Storage) -> Iterator[np.ndarray]:
        return (annotated_vectors(storage, part)[1] for part in self.parts)


def encode_trained(
    build: Build,
    documents: dict[str, int],
    annotated: dict[str, int],
    stage: EncodeTrained,
    settings: TrainedSettings,
    vectors: VectorSettings,
    shard_documents: int,
) -> None:
    """Run the steps over `documents` and the `annotated` ones (rows by part, in archive order); none without phrases.

    After `build_vocabulary`, whose table of phrases is encoded here.
    """
    blocks = blocks_of(build.ledger.done("archive")["all"].facts["phrases"])
    if not blocks:
        return
    build.run(stage, documents)
    build.run(stage.phrases, blocks)
    build.run_tasks("trained-codes", {"all": WriteTrained(list(annotated), list(blocks))})
    if settings.neighbours:
        held = {part: rows for part, rows in annotated.items() if rows}
        index_vectors(build, held, vectors, shard_documents, annotated_vectors, TRAINED_INDEX)
