"""What the stages that work on documents share: how one of them is refused."""

from __future__ import annotations

import orjson
import pyarrow as pa

from kartoteka.documents import DOCUMENT_SCHEMA, Refusal, quarantine_row
from kartoteka.flow.stage import Stage


class DocumentStage(Stage):
    """A stage whose rows are documents, with or without columns beside."""

    def refusal(self, rows: pa.Table, row: int, reason: str, detail: str) -> dict[str, object]:
        """The document of that row, whole."""
        document = rows.slice(row, 1).select(DOCUMENT_SCHEMA.names).to_pylist()[0]
        return refuse_document(document, reason, detail, self.name)


def refuse_document(document: dict[str, object], reason: str, detail: str, stage: str) -> dict[str, object]:
    """The quarantine row of a document that was read well: whole, as JSON."""
    record = orjson.dumps(document, default=str)
    source, identity = str(document["source"]), str(document["id"])
    return quarantine_row(Refusal(reason, detail), stage=stage, source=source, record=record, identity=identity)
