"""Rows by number, the memory they may take, and which editions are opened at all."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pyarrow as pa
import pytest
from online.online_worlds import document, make_catalogue

from kartoteka import edition as editions
from kartoteka.catalogue import Catalogue
from kartoteka.documents import DOCUMENT_SCHEMA, KEYPHRASES_SCHEMA
from kartoteka.online.index import SearchIndex
from kartoteka.online.opened import edition_digest, open_edition_checked
from kartoteka.online.store import COLUMNS, DocumentStore


@pytest.fixture(scope="module")
def edition(small_edition: Path) -> editions.Edition:
    return open_edition_checked(str(small_edition), whole=True)


@pytest.fixture
def copy(small_edition: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(small_edition, tmp_path / "copy"))


@pytest.mark.parametrize("most_bytes", [1, 256 << 20])
@pytest.mark.parametrize("table", ["documents", "keyphrases", "clusters"])
def test_rows_in_any_order_are_those_of_the_table(edition, table: str, most_bytes: int) -> None:
    store = DocumentStore(edition, Catalogue.open(edition.storage.local("catalogue")), most_bytes)
    expected = edition.table(table).to_table(columns=COLUMNS[table]).to_pylist()
    for numbers in ([199, 0, 41, 199, 40], range(200), []):
        assert store.rows(table, list(numbers)) == [expected[n] for n in numbers]
    assert store.rows("labels", [3, 4]) == [None, None]  # made without a classifier


def test_no_more_parts_are_kept_than_fit(edition) -> None:
    catalogue = Catalogue.open(edition.storage.local("catalogue"))
    whole = DocumentStore(edition, catalogue)
    whole.rows("documents", range(200))
    groups = list(whole._kept)  # in which there are documents
    assert {name for name, _ in groups} <= set(edition.files("documents"))
    sizes = [table.nbytes for table in whole._kept.values()]
    few = DocumentStore(edition, catalogue, sizes[-1] + sizes[-2])
    few.rows("documents", range(200))
    assert list(few._kept) == groups[-2:]
    few.rows("documents", [0])
    assert few._bytes == sum(table.nbytes for table in few._kept.values()) <= sum(sizes[-2:])
    assert groups[0] in few._kept


def made_edition(path: Path, documents: list[dict], explained: list[str]) -> DocumentStore:
    """A store of one part in groups of four, whose keyphrases are those of the documents `explained`."""
    storage = editions.Edition(str(path), {}).storage
    names = {table: f"{table}/part-0.parquet" for table in ("documents", "keyphrases")}
    keyphrases = [{"id": identity, "keyphrases": []} for identity in explained]
    storage.put_table(names["documents"], pa.Table.from_pylist(documents, schema=DOCUMENT_SCHEMA), 4)
    storage.put_table(names["keyphrases"], pa.Table.from_pylist(keyphrases, schema=KEYPHRASES_SCHEMA), 4)
    edition = editions.Edition(str(path), {"files": {name: {} for name in names.values()}})
    return DocumentStore(edition, make_catalogue(path / "catalogue", [documents]))


def test_only_the_row_groups_asked_for_are_read(tmp_path: Path) -> None:
    ids = [f"d{n}" for n in range(10)]
    store = made_edition(tmp_path, [document(identity) for identity in ids], ids)
    assert [row["id"] for row in store.rows("documents", [9, 5, 6])] == ["d9", "d5", "d6"]
    assert list(store._kept) == [("documents/part-0.parquet", group) for group in (1, 2)]
    assert sum(table.num_rows for table in store._kept.values()) == 6


def test_a_table_without_all_documents_is_searched_by_id(tmp_path: Path) -> None:
    ids = [f"d{n}" for n in range(10)]
    store = made_edition(tmp_path, [document(identity) for identity in ids], ids[1:7] + ids[8:])
    found = store.rows("keyphrases", range(10))
    assert [row and row["id"] for row in found] == [None, *ids[1:7], None, *ids[8:]]
    assert store.rows("keyphrases", [7]) == [None]


def test_an_edition_is_known_by_its_manifest(copy: Path, small_edition: Path) -> None:
    assert edition_digest(str(copy)) == edition_digest(str(small_edition))
    assert edition_digest(str(copy)) == hashlib.sha256((copy / "manifest.json").read_bytes()).hexdigest()
    with open(copy / "manifest.json", "ab") as file:
        file.write(b"\n")
    assert edition_digest(str(copy)) != edition_digest(str(small_edition))
    with pytest.raises(ValueError, match="has no manifest"):
        edition_digest(str(copy / "documents"))


def test_damage_is_found_where_all_is_looked_at(copy: Path) -> None:
    path = sorted((copy / "keyphrases").iterdir())[0]
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    open_edition_checked(str(copy), whole=False)
    with pytest.raises(ValueError, match=f"is damaged: keyphrases/{path.name} is changed"):
        open_edition_checked(str(copy), whole=True)


@pytest.mark.parametrize("folder", ["search", "catalogue"])
def test_an_edition_of_an_older_version_is_refused(copy: Path, folder: str) -> None:
    storage = editions.open(copy).storage
    manifest = storage.get_json("manifest.json")
    manifest["files"] = {name: v for name, v in manifest["files"].items() if not name.startswith(f"{folder}/")}
    storage.put_json("manifest.json", manifest)
    with pytest.raises(ValueError, match=f"has no `{folder}`: it was made by an older version; re-index"):
        SearchIndex.open(str(copy))


@pytest.mark.parametrize("name", ["catalogue/row.npy", "search/shard-0000/idf.npy", "vectors/shard-0000/vectors.npy"])
def test_a_torn_file_is_named(copy: Path, name: str) -> None:
    (copy / name).write_bytes((copy / name).read_bytes()[:-1])
    with pytest.raises(ValueError, match=f"{name} is torn"):
        SearchIndex.open(str(copy))


def test_indexes_of_two_editions_do_not_go_together(copy: Path, tmp_path: Path) -> None:
    shutil.rmtree(copy / "catalogue")
    make_catalogue(copy / "catalogue", [[document("a")]])
    with pytest.raises(ValueError, match=r"its indexes hold \[1, 200\] documents"):
        SearchIndex.open(str(copy))
