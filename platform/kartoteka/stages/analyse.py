"""Analyse: the words of every annotated document, as the lexical index and the ranker count them."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from kartoteka.edition import BUILD
from kartoteka.flow.ledger import Completion
from kartoteka.flow.stage import Step
from kartoteka.keyphrases.annotated import annotate, is_annotated
from kartoteka.lexical.statistics import count_part
from kartoteka.stages.documents import DocumentStage
from kartoteka.storage import Storage
from kartoteka.text.words import content_stems


@dataclass
class Stem(Step):
    """Adds `stems`: what the lexical index holds of a document."""

    name = "stem"

    def apply(self, rows: pa.Table) -> pa.Table:
        """Stem title and abstract."""
        return rows.append_column("stems", pa.array(stems_of(rows), pa.list_(pa.string())))


def stems_of(rows: pa.Table) -> list[list[str]]:
    """The content stems of each document's title and abstract."""
    columns = (rows[name].to_pylist() for name in ("title", "abstract", "lang"))
    return [content_stems(f"{title}\n{abstract}", lang) for title, abstract, lang in zip(*columns, strict=True)]


class Analyse(DocumentStage):
    """The annotated documents of a part: their words, phrases and term statistics, kept in the build."""

    name = "analyse"
    steps = (Stem(),)

    def load(self, storage: Storage, part: str, payload: bytes) -> pa.Table:
        """The annotated documents of the part."""
        rows = storage.table(f"documents/{part}.parquet")
        return rows.filter(pa.array(map(is_annotated, rows["keyphrases"].to_pylist()), pa.bool_()))

    def write(self, storage: Storage, part: str, rows: pa.Table, refused: pa.Table) -> Completion:
        """Put the part's analysis into the build."""
        storage.put_table(stems_file(part), rows.select(["stems"]))
        storage.put_table(terms_file(part), count_part(rows["stems"]).to_table())
        storage.put_table(annotated_file(part), annotate(rows))
        if refused.num_rows:
            storage.put_table(withdrawn_file(self.name, part), refused)
        return Completion(part, rows.num_rows + refused.num_rows, rows.num_rows, refused.num_rows)


def stems_file(part: str) -> str:
    """Stems of the part's annotated documents, in order."""
    return f"{BUILD}/stems/{part}.parquet"


def terms_file(part: str) -> str:
    """Term statistics of the part's annotated documents."""
    return f"{BUILD}/terms/{part}.parquet"


def annotated_file(part: str) -> str:
    """The part's `annotate` table."""
    return f"{BUILD}/annotated/{part}.parquet"


def withdrawn_file(stage: str, part: str) -> str:
    """Documents that a stage after `embed` had to refuse; `withdraw` takes them out of the edition."""
    return f"{BUILD}/withdrawn/{stage}/{part}.parquet"
