"""Search: the BM25 index of all documents, numbered as the vector index is.

The index in `lexical/` holds the annotated documents only, which are the ones that keyphrases are taken from.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from kartoteka.edition import BUILD
from kartoteka.flow.build import Build
from kartoteka.flow.ledger import Completion
from kartoteka.lexical.settings import LexicalSettings
from kartoteka.lexical.statistics import count_part
from kartoteka.stages.analyse import Stem, withdrawn_file
from kartoteka.stages.documents import DocumentStage
from kartoteka.stages.lexical import Indexed, index_lexically
from kartoteka.storage import Storage

FOLDER = "search"


class Words(DocumentStage):
    """The documents of a part to their stems and term statistics, kept in the build."""

    name = "words"
    steps = (Stem(),)

    def load(self, storage: Storage, part: str, payload: bytes) -> pa.Table:
        """The part's documents."""
        return storage.table(f"documents/{part}.parquet")

    def write(self, storage: Storage, part: str, rows: pa.Table, refused: pa.Table) -> Completion:
        """Put the words into the build; a refused document, which will be withdrawn, has none but keeps its number."""
        ids = storage.table(f"documents/{part}.parquet", ["id"])["id"]
        place = pc.index_in(ids.combine_chunks(), rows["id"].combine_chunks())
        stems = rows["stems"].combine_chunks().take(place)
        storage.put_table(stems_file(part), pa.table({"stems": stems}))
        storage.put_table(terms_file(part), count_part(stems).to_table())
        if refused.num_rows:
            storage.put_table(withdrawn_file(self.name, part), refused)
        return Completion(part, rows.num_rows + refused.num_rows, rows.num_rows, refused.num_rows)


def stems_file(part: str) -> str:
    """Stems of all documents of the part, in order."""
    return f"{BUILD}/{FOLDER}-stems/{part}.parquet"


def terms_file(part: str) -> str:
    """Term statistics of all documents of the part."""
    return f"{BUILD}/{FOLDER}-terms/{part}.parquet"


ALL = Indexed(FOLDER, stems_file, terms_file)


def index_words(
    build: Build, documents: dict[str, int], stage: Words, settings: LexicalSettings, shard_documents: int
) -> None:
    """Run `stage` and build the index over `documents` (rows by part, in archive order)."""
    build.run(stage, documents)
    index_lexically(build, documents, settings, shard_documents, ALL)
