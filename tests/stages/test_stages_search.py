"""A document that leaves an edition late: its number stays, nothing finds it, and the others are where they were."""

from __future__ import annotations

import shutil
from pathlib import Path

import orjson
import pyarrow as pa
import pytest

from kartoteka import edition as editions
from kartoteka.documents import Refusal, quarantine_row, quarantine_table
from kartoteka.keyphrases.annotated import annotate
from kartoteka.lexical.statistics import PartStatistics
from kartoteka.online.filters import Filters
from kartoteka.online.index import SearchIndex
from kartoteka.online.query import Query, UnknownDocuments
from kartoteka.stages.analyse import Stem, annotated_file, withdrawn_file
from kartoteka.stages.catalogue import WriteCatalogue
from kartoteka.stages.search import Words, stems_file, terms_file
from kartoteka.stages.suggest import numbering
from kartoteka.stages.withdraw import WithdrawFrom
from kartoteka.storage import Storage

GONE = "doc-0045"


@pytest.fixture(scope="module")
def before(small_edition: Path) -> SearchIndex:
    return SearchIndex.open(str(small_edition))


@pytest.fixture(scope="module")
def after(small_edition: Path, tmp_path_factory: pytest.TempPathFactory) -> SearchIndex:
    """The small edition as if a worker had died of one document while it labelled."""
    place = Path(shutil.copytree(small_edition, tmp_path_factory.mktemp("withdrawn") / "edition"))
    storage, edition = Storage(place), editions.open(place)
    parts = [name.split("/")[1].removesuffix(".parquet") for name in edition.files("documents")]
    rows = {part: storage.table(f"documents/{part}.parquet") for part in parts}
    annotated = {part: annotate(table) for part, table in rows.items()}
    for part, table in annotated.items():
        storage.put_table(annotated_file(part), table)
    part = next(part for part, table in rows.items() if GONE in table["id"].to_pylist())
    document = next(row for row in rows[part].to_pylist() if row["id"] == GONE)
    record = orjson.dumps(document, default=str)
    refused = quarantine_row(Refusal("killed_worker", "x"), stage="label", source="a:1", record=record, identity=GONE)
    storage.put_table(withdrawn_file("label", part), quarantine_table([refused]))
    WithdrawFrom(part, ["words", "label"])(storage)
    documents = {part: table.num_rows for part, table in rows.items()}
    first = numbering({part: table.num_rows for part, table in annotated.items()})
    completion = WriteCatalogue(documents, first)(storage)
    assert (completion.rows_in, completion.rows_out) == (200, 199)
    storage.delete("_build")
    return SearchIndex.open(str(place))


def test_it_is_never_found(before: SearchIndex, after: SearchIndex) -> None:
    number = before.catalogue.numbers_of([GONE])[0]
    near = before.similar(Query(ids=(GONE,)), 30, "hybrid", Filters())
    for hit in near:
        there = before.similar(Query(ids=(hit.id,)), 200, "hybrid", Filters())
        assert GONE in {found.id for found in there}
        here = after.similar(Query(ids=(hit.id,)), 200, "hybrid", Filters())
        assert GONE not in {found.id for found in here}
        assert {found.id for found in here} == {found.id for found in there} - {GONE}
    title = before.card(GONE, 0).card.title
    assert after.search(title, 200, 0, Filters()).total == before.search(title, 200, 0, Filters()).total - 1
    assert after.catalogue.ids_of([number]) == [GONE]
    with pytest.raises(UnknownDocuments):
        after.card(GONE)
    assert (after.documents, before.documents) == (199, 200)


def test_the_others_of_its_part_are_where_they_are(before: SearchIndex, after: SearchIndex) -> None:
    for number in range(40, 80):
        identity = f"doc-{number:04d}"
        if identity != GONE:
            assert after.card(identity, 0).card.abstract == before.card(identity, 0).card.abstract


def test_a_document_that_cannot_be_stemmed_keeps_its_number(small_edition: Path, tmp_path: Path) -> None:
    storage = Storage(tmp_path)
    table = next(iter(editions.open(small_edition).table("documents").to_batches()))
    rows = pa.Table.from_batches([table]).slice(0, 5)
    storage.put_table("documents/part-0.parquet", rows)
    step, stage = Stem(), Words()
    loaded = stage.load(storage, "part-0", b"")
    done = step.apply(pa.concat_tables([loaded.slice(0, 2), loaded.slice(3)]))
    refused = quarantine_table([stage.refusal(loaded, 2, "failed", "no reason")])
    completion = stage.write(storage, "part-0", done, refused)
    assert (completion.rows_in, completion.rows_out, completion.quarantined) == (5, 4, 1)
    stems = storage.table(stems_file("part-0"))["stems"].to_pylist()
    whole = step.apply(loaded)["stems"].to_pylist()
    assert stems == [*whole[:2], None, *whole[3:]]
    assert PartStatistics.from_table(storage.table(terms_file("part-0"))).documents == 5
    assert storage.table(withdrawn_file("words", "part-0"))["id"].to_pylist() == [rows["id"][2].as_py()]
