"""Stages over the parts of an edition that is there: what training data are made by."""

from __future__ import annotations

import pyarrow as pa

from kartoteka.flow.stage import Stage
from kartoteka.keyphrases.annotated import is_annotated
from kartoteka.storage import Storage

_COLUMNS = ["id", "title", "abstract", "lang", "keyphrases"]


def annotated_rows(edition: str, part: str) -> pa.Table:
    """The annotated documents of a part of the edition."""
    rows = Storage(edition).table(f"documents/{part}.parquet", _COLUMNS)
    return rows.filter(pa.array(map(is_annotated, rows["keyphrases"].to_pylist()), pa.bool_()))


class OfEdition(Stage):
    """A stage over the parts of an edition whose documents have been read well before."""

    edition: str

    def load(self, storage: Storage, part: str, payload: bytes) -> pa.Table:
        """The annotated documents of the part."""
        return annotated_rows(self.edition, part)

    def refusal(self, rows: pa.Table, row: int, reason: str, detail: str) -> dict[str, object]:
        """A document of an edition passed every stage of the re-index: there is no quarantine for it here."""
        raise RuntimeError(f"{self.name}: document {rows['id'][row].as_py()!r} fails: {reason}, {detail}")
