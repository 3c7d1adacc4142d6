"""The catalogue against the tables it was made from, and its filters against a loop over the documents."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from online.online_worlds import document, make_catalogue

from kartoteka import edition as editions
from kartoteka.catalogue import NO_YEAR, Catalogue
from kartoteka.keyphrases.hashing import hash_words
from kartoteka.lexical.index import ShardedIndex
from kartoteka.online.filters import Filters
from kartoteka.stages.analyse import stems_of
from kartoteka.vectors.index import ShardedVectors

LANGS = ["en", "ru", "fr", "und"]
ROWS = [
    document(
        f"d{n}",
        lang=LANGS[n % 4],
        year=None if n % 5 == 0 else 1990 + n,
        added=None if n % 3 == 0 else dt.date(2020, 1, 1) + dt.timedelta(days=n),
        keyphrases=["a"] if n % 2 else [],
    )
    for n in range(30)
]
GONE = frozenset({"d3", "d7", "d29"})


@pytest.fixture(scope="module")
def small(small_edition: Path) -> Catalogue:
    return Catalogue.open(small_edition / "catalogue")


@pytest.fixture(scope="module")
def rows(small_edition: Path) -> list[dict]:
    return editions.open(small_edition).table("documents").to_table().to_pylist()


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Catalogue:
    return make_catalogue(tmp_path_factory.mktemp("made") / "c", [ROWS[:12], [], ROWS[12:]], GONE)


@pytest.fixture(scope="module")
def other(tmp_path_factory) -> Catalogue:
    """An older edition: the first ten, of which it lost one."""
    return make_catalogue(tmp_path_factory.mktemp("other") / "c", [ROWS[:10]], frozenset({"d4"}))


def test_the_edition_is_whole(small_edition: Path, small: Catalogue) -> None:
    assert list(editions.verify(editions.open(small_edition))) == []
    assert small.documents == small.held == 200


def test_it_numbers_as_both_indexes_do(small_edition: Path, small: Catalogue, rows: list[dict]) -> None:
    ids = [row["id"] for row in rows]
    assert small.ids_of(range(200)) == ids == ShardedVectors.open(small_edition / "vectors").ids.to_pylist()
    assert small.numbers_of([*ids, "none", "", "\ud800"]).tolist() == [*range(200), -1, -1, -1]
    search = ShardedIndex.open(small_edition / "search")
    assert search.documents == 200
    documents = editions.open(small_edition).table("documents").to_table()
    numbers, scores = search.search(stems_of(documents), 5)
    for number, (found, best) in enumerate(zip(numbers, scores, strict=True)):
        assert number in found[best == best[0]]  # itself, or one of the same words


def test_every_place_is_where_it_says(small_edition: Path, small: Catalogue, rows: list[dict]) -> None:
    storage = editions.open(small_edition).storage
    for number, row in enumerate(rows):
        part = small.parts[small.part[number]]
        found = storage.table(f"documents/{part}.parquet").slice(int(small.row[number]), 1).to_pylist()
        assert found == [row]
        assert small.year[number] == row["year"]
        assert list(small.languages)[small.lang[number]] == row["lang"]
        assert small.number_of_text(row["title"], row["abstract"], row["id"]) == number
    assert small.number_of_text("no such", "text") == -1
    assert small.languages == {"en": 120, "ru": 40, "fr": 40}
    annotated = [number for number, row in enumerate(rows) if row["keyphrases"]]
    assert np.flatnonzero(small.annotated >= 0).tolist() == annotated
    assert small.annotated[annotated].tolist() == list(range(len(annotated)))


def test_what_left_keeps_its_number_and_is_not_found(made: Catalogue) -> None:
    assert (made.documents, made.held) == (30, 27)
    assert made.ids_of([3, 29]) == ["d3", "d29"]
    assert made.numbers_of(["d2", "d3", "d4", "d29"]).tolist() == [2, -1, 4, -1]
    assert made.number_of_text("On d3", "") == -1
    assert made.part[[2, 3, 12]].tolist() == [0, -1, 2]
    assert made.row[[2, 3, 4, 12]].tolist() == [2, -1, 3, 0]
    assert made.year[0] == NO_YEAR
    assert made.annotated[[0, 1, 3, 5]].tolist() == [-1, 0, 1, 2]


def test_of_several_of_the_same_text_the_named_one_is_meant(tmp_path: Path) -> None:
    same = [document(name, title="Same", abstract="text") for name in ("a", "b", "c")]
    catalogue = make_catalogue(tmp_path / "c", [same[:2], same[2:]], frozenset({"a"}))
    assert [catalogue.number_of_text("Same", "text", name) for name in (None, "a", "b", "c", "x")] == [1, 1, 1, 2, 1]
    assert catalogue.number_of_text("Same\0text", "") == -1  # the two are told apart: no normalised text holds a NUL


def test_ids_of_one_hash_are_told_apart(tmp_path: Path) -> None:
    catalogue = make_catalogue(tmp_path / "c", [ROWS[:10]])
    wanted = hash_words(["d6", "d2", "none"])
    catalogue.id_hashes, catalogue.id_numbers = np.sort(np.tile(wanted, 10)), np.tile(np.arange(10), 3)
    assert catalogue.numbers_of(["d6", "d2", "none"]).tolist() == [6, 2, -1]


def passes(row: dict, filters: Filters, held_by_other: set[str]) -> bool:
    """The definition, a document at a time."""
    year, added = row["year"], row["added"]
    return (
        row["id"] not in GONE
        and row["id"] not in filters.exclude
        and (filters.year_from is None or (year is not None and year >= filters.year_from))
        and (filters.year_to is None or (year is not None and year <= filters.year_to))
        and (not filters.langs or row["lang"] in filters.langs)
        and (filters.added_since is None or (added is not None and added >= filters.added_since))
        and (filters.not_in is None or row["id"] not in held_by_other)
    )


@settings(deadline=None, max_examples=200)
@given(
    years=st.tuples(st.none() | st.integers(1980, 2025), st.none() | st.integers(0, 40)),
    langs=st.lists(st.sampled_from(LANGS), unique=True),
    since=st.none() | st.dates(dt.date(2019, 12, 1), dt.date(2020, 2, 15)),
    new=st.booleans(),
    exclude=st.lists(st.sampled_from(["d1", "d3", "d20", "unknown"]), unique=True),
)
def test_a_mask_is_what_its_filters_say(made, other, years, langs, since, new, exclude) -> None:
    low, width = years
    high = None if width is None else (low or 1990) + width
    filters = Filters(low, high, tuple(langs), since, other if new else None, tuple(exclude))
    held = {row["id"] for row in ROWS[:10]} - {"d4"}
    assert made.mask(filters).tolist() == [passes(row, filters, held) for row in ROWS]


def test_nothing_filtered_is_no_mask(small: Catalogue, made: Catalogue) -> None:
    assert small.mask(Filters()) is None
    assert np.flatnonzero(~made.mask(Filters())).tolist() == [3, 7, 29]


def test_a_few_hidden_documents_are_named(small: Catalogue, made: Catalogue, other: Catalogue) -> None:
    assert made.few_hidden(Filters()).tolist() == [3, 7, 29]
    assert made.few_hidden(Filters(exclude=("d1", "d7", "d20", "unknown", "d1"))).tolist() == [1, 3, 7, 20, 29]
    for narrower in ({"year_from": 0}, {"year_to": 0}, {"langs": ("en",)}, {"not_in": other}):
        assert made.few_hidden(Filters(exclude=("d1",), **narrower)) is None
    assert small.few_hidden(Filters()).tolist() == []
    ids = tuple(small.ids_of(range(101)))
    assert small.few_hidden(Filters(exclude=ids[:100])).tolist() == list(range(100))
    assert small.few_hidden(Filters(exclude=ids)) is None


def test_years_that_no_document_can_have(small: Catalogue) -> None:
    assert not small.mask(Filters(year_from=10**12)).any()
    assert small.mask(Filters(year_from=-(10**12))).all()


def test_languages_by_name_and_those_that_are_none(small: Catalogue, made: Catalogue) -> None:
    assert small.mask(Filters(langs=("Russian", "fre"))).sum() == 80
    assert not small.mask(Filters(langs=("de",))).any()  # a language, of which there is nothing here
    assert made.mask(Filters(langs=("und",))).any()  # no language, but what the edition calls some of its documents
    with pytest.raises(ValueError, match="langs: 'klingon'"):
        small.mask(Filters(langs=("klingon",)))
    with pytest.raises(ValueError, match="year_from: 2001 is after year_to"):
        Filters(year_from=2001, year_to=2000)


@pytest.mark.parametrize("name", ["ids.arrow", "year.npy", "id_hashes.npy", "shard.json"])
def test_a_torn_file_is_named(tmp_path: Path, name: str) -> None:
    make_catalogue(tmp_path / "c", [ROWS])
    path = tmp_path / "c" / name
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(ValueError, match=f"catalogue: .*{name}"):
        Catalogue.open(tmp_path / "c")
    path.unlink()
    with pytest.raises(ValueError, match=f"catalogue: .*{name}"):
        Catalogue.open(tmp_path / "c")
