"""The documents of an edition that is there, and stages over its parts: what training is prepared from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from kartoteka.flow.stage import Stage
from kartoteka.keyphrases.annotated import is_annotated
from kartoteka.storage import Storage

_COLUMNS = ["id", "title", "abstract", "lang", "keyphrases"]


def parts_of(edition: Storage) -> list[str]:
    """The parts of an edition, in its order. Raises `ValueError` when it has no documents."""
    parts = [name.split("/")[-1].removesuffix(".parquet") for name in edition.list("documents", ".parquet")]
    if not parts:
        raise ValueError(f"edition: {edition.uri} has no documents")
    return parts


def documents_of(edition: Storage, columns: Sequence[str], rows: int) -> Iterator[pa.Table]:
    """The documents of an edition, up to `rows` at a time, in its order. Raises `ValueError` when it has none."""
    for part in parts_of(edition):
        name = edition.path(f"documents/{part}.parquet")
        with edition.fs.open_input_file(name) as file, pq.ParquetFile(file) as table:
            for batch in table.iter_batches(rows, columns=list(columns)):
                yield pa.Table.from_batches([batch])


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
