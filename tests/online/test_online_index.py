"""Search in a small edition against its tables, looked through one document at a time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
from online.online_worlds import document, make_catalogue

from kartoteka import edition as editions
from kartoteka.card import cards
from kartoteka.lexical.index import ShardedIndex
from kartoteka.online.filters import Filters
from kartoteka.online.index import SearchIndex
from kartoteka.online.query import Hit, Query, UnknownDocuments
from kartoteka.online.store import DocumentStore
from kartoteka.stages.vectors import matrix_of
from kartoteka.text.words import content_stems, phrase_key, stems

NONE = Filters()
RUSSIAN = Filters(langs=("ru",), year_from=2000, exclude=("doc-0013",))


@pytest.fixture(scope="module")
def index(small_edition: Path) -> SearchIndex:
    return SearchIndex.open(str(small_edition))


@pytest.fixture(scope="module")
def tables(small_edition: Path) -> dict[str, pa.Table]:
    edition = editions.open(small_edition)
    return {name: edition.table(name).to_table() for name in ("documents", "embeddings", "keyphrases")}


@pytest.fixture(scope="module")
def rows(tables) -> list[dict]:
    return tables["documents"].to_pylist()


@pytest.fixture(scope="module")
def vectors(tables) -> np.ndarray:
    return matrix_of(tables["embeddings"]["vector"]).astype(np.float32)


def own_stems(row: dict) -> list[str]:
    return content_stems(f"{row['title']}\n{row['abstract']}", row["lang"])


def kept(rows: list[dict], filters: Filters, own: list[int]) -> np.ndarray:
    langs, low = filters.langs or ("en", "ru", "fr"), filters.year_from or 0
    allowed = [r["lang"] in langs and r["year"] >= low and r["id"] not in filters.exclude for r in rows]
    return np.array(allowed) & ~np.isin(np.arange(len(rows)), own)


def ranked(scores: np.ndarray, allowed: np.ndarray, depth: int) -> list[int]:
    order = np.lexsort((np.arange(len(scores)), -scores))
    return [int(n) for n in order if allowed[n]][:depth]


def bm25(small_edition: Path, stems: list[str], rows: list[dict]) -> np.ndarray:
    numbers, scores = ShardedIndex.open(small_edition / "search").search([stems], len(rows))
    every = np.zeros(len(rows), np.float32)
    every[numbers[0][numbers[0] >= 0]] = scores[0][numbers[0] >= 0]
    return every


@pytest.mark.parametrize("filters", [NONE, RUSSIAN], ids=["all", "some"])
@pytest.mark.parametrize("own", [[8], [8, 13, 100]], ids=["one", "three"])
def test_similar_documents_by_vectors(index, rows, vectors, own: list[int], filters: Filters) -> None:
    query = vectors[own].mean(axis=0)
    scores = vectors @ (query / np.linalg.norm(query))
    hits = index.similar(Query(ids=tuple(rows[n]["id"] for n in own)), 7, "dense", filters)
    best = ranked(np.round(scores, 5), kept(rows, filters, own), 7)
    np.testing.assert_allclose([hit.score for hit in hits], scores[best], atol=2e-3)  # of float16 vectors
    assert {hit.id for hit in hits}.isdisjoint(rows[n]["id"] for n in own)
    assert all(hit.dense == hit.score and hit.lexical is None for hit in hits)
    assert all(rows[int(hit.id[4:])]["title"] == hit.title for hit in hits)


@pytest.mark.parametrize("filters", [NONE, RUSSIAN], ids=["all", "some"])
@pytest.mark.parametrize("own", [[8], [8, 13, 100]], ids=["one", "three"])
def test_similar_documents_by_words(index, small_edition, rows, own: list[int], filters: Filters) -> None:
    every = bm25(small_edition, [stem for n in own for stem in own_stems(rows[n])], rows)
    best = ranked(every, kept(rows, filters, own) & (every > 0), 7)
    hits = index.similar(Query(ids=tuple(rows[n]["id"] for n in own)), 7, "lexical", filters)
    assert [(hit.id, hit.score) for hit in hits] == [(rows[n]["id"], every[n]) for n in best]
    assert all(hit.lexical == hit.score and hit.dense is None for hit in hits)


@pytest.mark.parametrize("excluded", [1, 30])
def test_a_few_excluded_documents_are_dropped_as_a_filter_would(index, rows, vectors, excluded: int) -> None:
    few = Filters(exclude=tuple(row["id"] for row in rows[3 : 3 + excluded]))
    masked = replace(few, year_from=0)  # all documents have a year: this is the same, by a mask
    for query in (Query(ids=("doc-0008",)), Query(text=rows[40]["abstract"], vector=vectors[40])):
        for mode in ("dense", "lexical", "hybrid"):
            assert index.similar(query, 15, mode, few) == index.similar(query, 15, mode, masked)
    for offset in (0, 4, 60):
        assert index.search("reactor safety 3", 5, offset, few) == index.search("reactor safety 3", 5, offset, masked)


@pytest.mark.parametrize("filters", [NONE, RUSSIAN], ids=["all", "some"])
def test_both_are_fused_by_reciprocal_rank(index, rows, vectors, filters: Filters) -> None:
    query = Query(text=rows[40]["abstract"], lang="English", vector=vectors[40])
    lists = {mode: index.similar(query, 100, mode, filters) for mode in ("dense", "lexical")}
    sums: dict[str, float] = {}
    for hits in lists.values():
        for rank, hit in enumerate(hits, start=1):
            sums[hit.id] = sums.get(hit.id, 0) + 1 / (60 + rank)
    expected = sorted(sums, key=lambda i: (-np.float32(sums[i]), int(i[4:])))[:10]
    hits = index.similar(query, 10, "hybrid", filters)
    assert [hit.id for hit in hits] == expected
    for hit in hits:
        assert hit.score == pytest.approx(sums[hit.id])
        assert hit.dense == next((h.dense for h in lists["dense"] if h.id == hit.id), None)
        assert hit.lexical == next((h.lexical for h in lists["lexical"] if h.id == hit.id), None)


@pytest.mark.parametrize(("langs", "common"), [([f"l{n:03}" for n in range(150)], ("l000",)), ([], ())])
def test_the_most_frequent_language_is_always_tried(tmp_path: Path, langs: list[str], common: tuple[str, ...]) -> None:
    documents = [document(lang, lang=lang) for lang in langs or ["en"]]
    catalogue = make_catalogue(tmp_path / "c", [documents], frozenset() if langs else frozenset({"en"}))
    edition = editions.Edition(str(tmp_path), {"files": {}})
    words, vectors = (SimpleNamespace() for _ in range(2))  # neither is asked
    assert SearchIndex(edition, catalogue, words, vectors, DocumentStore(edition, catalogue)).languages == common


def printed_in(hit: Hit, row: dict) -> bool:
    return all(term in row["title"] or term in row["abstract"] for term in hit.terms)


def test_the_reasons_are_shared_with_the_documents_asked_for(index, tables, rows) -> None:
    lists = {row["id"]: row["keyphrases"] for row in tables["keyphrases"].to_pylist()}
    for number in (0, 3, 4, 21):
        asked = rows[number]
        for hit in index.similar(Query(ids=(asked["id"],)), 5, "hybrid", NONE):
            mine = {phrase_key(k["phrase"], hit.lang) for k in lists[asked["id"]]}
            assert list(hit.keyphrases) == [
                k["phrase"] for k in lists[hit.id] if phrase_key(k["phrase"], hit.lang) in mine
            ]
            row = rows[int(hit.id[4:])]
            assert printed_in(hit, row)
            common = set(own_stems(row)) & set(own_stems(asked))
            assert {stems(term, row["lang"])[0] for term in hit.terms} <= common
            assert len(hit.terms) == min(8, len(common))


def test_the_reasons_stand_in_the_text_that_was_asked(index, tables, vectors) -> None:
    lists = {row["id"]: row["keyphrases"] for row in tables["keyphrases"].to_pylist()}
    text = "On gradient descent for a neural network"
    hits = index.similar(Query(text=text, vector=vectors[0]), 20, "lexical", NONE)
    assert any(hit.keyphrases for hit in hits)
    for hit in hits:
        words = f" {' '.join(stems(text, hit.lang))} "
        expected = [k["phrase"] for k in lists[hit.id] if f" {phrase_key(k['phrase'], hit.lang)} " in words]
        assert list(hit.keyphrases) == expected


@pytest.mark.parametrize(
    ("q", "lang", "filters"),
    [("reactor safety 3", None, NONE), ("ядерные реакторы", None, RUSSIAN), ("bibliothèques", "fr", NONE)],
)
def test_search_counts_and_pages_what_shares_a_word(index, rows, q: str, lang: str | None, filters: Filters) -> None:
    langs = [lang] if lang else ["en", "fr", "ru"]
    wanted = {stem for one in langs for stem in content_stems(q, one)}
    allowed = kept(rows, filters, [])
    sharing = [r["id"] for r, ok in zip(rows, allowed, strict=True) if ok and wanted & set(own_stems(r))]
    assert sharing
    whole = index.search(q, 200, 0, filters, lang)
    assert whole.total == len(sharing)
    assert sorted(hit.id for hit in whole.hits) == sorted(sharing)
    assert [hit.score for hit in whole.hits] == sorted((hit.score for hit in whole.hits), reverse=True)
    pages = [index.search(q, 3, offset, filters, lang) for offset in range(0, 15, 3)]
    assert [hit for page in pages for hit in page.hits] == whole.hits[:15]
    for hit in whole.hits:
        marked = [hit.title[a:z] for a, z in hit.title_marks] + [hit.snippet[a:z] for a, z in hit.snippet_marks]
        assert marked
        assert all(stems(word, hit.lang)[0] in wanted for word in marked)


def test_the_card_is_the_one_that_inspect_shows(index, small_edition: Path, rows) -> None:
    ids = [row["id"] for row in rows[::7]]
    expected = cards(editions.open(small_edition), ids)
    for identity in ids:
        found = index.card(identity, 3)
        assert found.card == expected[identity]
        assert found.similar == index.similar(Query(ids=(identity,)), 3, "hybrid", NONE)
    assert index.card(ids[0], 0).similar == []
    with pytest.raises(ValueError, match="similar: -1 is not from 0"):
        index.card(ids[0], -1)


def test_threads_share_an_index(index, rows) -> None:
    def ask(number: int) -> object:
        row = rows[number]
        return (
            index.similar(Query(ids=(row["id"],)), 5, "hybrid", RUSSIAN if number % 2 else NONE),
            index.search(row["title"], 5, number % 4, NONE),
            index.card(row["id"]),
        )

    alone = [ask(number) for number in range(0, 200, 9)]
    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(ask, range(0, 200, 9))) == alone


@pytest.mark.parametrize(
    ("query", "k", "mode", "message"),
    [
        ({"ids": ("doc-0001",)}, 0, "dense", "k: 0 is not from 1"),
        ({"ids": ("doc-0001",)}, 10**9, "dense", "k: 1000000000 is not"),
        ({"ids": ("doc-0001",)}, 5, "sparse", "mode: 'sparse' is none of dense, lexical, hybrid"),
        ({"ids": ("doc-0001", "x", "y")}, 5, "dense", "ids: 'x', 'y' not in this edition"),
        ({"ids": ("a",) * 101}, 5, "dense", "ids: 101 of them"),
        ({}, 5, "dense", "text: a query is either"),
        ({"ids": ("doc-0001",), "text": "a"}, 5, "dense", "text: a query is either"),
        ({"text": " \n"}, 5, "lexical", "text: it is empty"),
        ({"text": "a"}, 5, "hybrid", "vector: `hybrid` needs"),
        ({"text": "a", "vector": np.ones(3)}, 5, "dense", "vector: dimension 3"),
        ({"text": "a", "vector": np.full(32, np.nan)}, 5, "dense", "vector: row 0 holds a value that is not finite"),
        ({"text": "a", "lang": "xx"}, 5, "lexical", "lang: 'xx' is no language"),
    ],
)
def test_what_is_wrong_with_a_query(index, query: dict, k: int, mode: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        index.similar(Query(**query), k, mode, NONE)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("", 5, 0), "q: it is empty"),
        (("a", 0, 0), "k: 0"),
        (("a", 5, -1), "offset: -1"),
        (("a", 5, 9_996), "offset: 9996 is not from 0 to 9,995"),
    ],
)
def test_what_is_wrong_with_a_search(index, arguments, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        index.search(*arguments, NONE)


def test_an_unknown_document_is_named(index) -> None:
    with pytest.raises(UnknownDocuments) as raised:
        index.card("nowhere")
    assert raised.value.ids == ("nowhere",)


def test_a_search_that_finds_nothing(index) -> None:
    assert index.search("zzzz", 5, 0, NONE).hits == []
    assert index.search("...", 5, 0, NONE).total == 0
    assert index.similar(Query(text="..."), 5, "lexical", NONE) == []
    assert index.similar(Query(ids=("doc-0001",)), 5, "hybrid", Filters(year_from=3000)) == []
