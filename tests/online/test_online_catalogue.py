"""The catalogue of a small edition against its own tables, read plainly."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kartoteka import edition as editions
from kartoteka.catalogue import Catalogue
from kartoteka.lexical.index import ShardedIndex
from kartoteka.stages.analyse import stems_of
from kartoteka.vectors.index import ShardedVectors


@pytest.fixture(scope="module")
def catalogue(small_edition: Path) -> Catalogue:
    return Catalogue.open(small_edition / "catalogue")


@pytest.fixture(scope="module")
def rows(small_edition: Path) -> list[dict]:
    return editions.open(small_edition).table("documents").to_table().to_pylist()


def test_the_edition_is_whole(small_edition: Path, catalogue: Catalogue) -> None:
    assert list(editions.verify(editions.open(small_edition))) == []
    assert catalogue.documents == catalogue.held == 200


def test_it_numbers_as_both_indexes_do(small_edition: Path, catalogue: Catalogue, rows: list[dict]) -> None:
    ids = [row["id"] for row in rows]
    assert catalogue.ids_of(range(200)) == ids == ShardedVectors.open(small_edition / "vectors").ids.to_pylist()
    assert catalogue.numbers_of([*ids, "none", ""]).tolist() == [*range(200), -1, -1]
    search = ShardedIndex.open(small_edition / "search")
    assert search.documents == 200
    documents = editions.open(small_edition).table("documents").to_table()
    numbers, scores = search.search(stems_of(documents), 5)
    for number, (found, best) in enumerate(zip(numbers, scores, strict=True)):
        assert number in found[best == best[0]]  # itself, or one of the same words


def test_every_place_is_where_it_says(small_edition: Path, catalogue: Catalogue, rows: list[dict]) -> None:
    storage = editions.open(small_edition).storage
    for number, row in enumerate(rows):
        part = catalogue.parts[catalogue.part[number]]
        found = storage.table(f"documents/{part}.parquet").slice(int(catalogue.row[number]), 1).to_pylist()
        assert found == [row]
        assert catalogue.year[number] == row["year"]
        assert list(catalogue.languages)[catalogue.lang[number]] == row["lang"]
        assert catalogue.number_of_text(row["title"], row["abstract"], row["id"]) == number
    assert catalogue.number_of_text("no such", "text") == -1
    assert catalogue.languages == {"en": 120, "ru": 40, "fr": 40}
    annotated = [number for number, row in enumerate(rows) if row["keyphrases"]]
    assert np.flatnonzero(catalogue.annotated >= 0).tolist() == annotated
    assert catalogue.annotated[annotated].tolist() == list(range(len(annotated)))
