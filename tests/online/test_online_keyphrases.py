"""Keyphrases online are those of the edition: for every document of it, and for others what can be said of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from reindexing import records

from kartoteka import edition as editions
from kartoteka.documents import KEYPHRASE_TYPE
from kartoteka.encoding.encoder import Encoder, load_encoder
from kartoteka.online.keyphrases import Indexer, RefusedDocument


@pytest.fixture(scope="module")
def indexer(small_edition: Path) -> Indexer:
    return Indexer.open(str(small_edition))


@pytest.fixture(scope="module")
def encoder(tiny_encoder: Path) -> Encoder:
    return load_encoder(str(tiny_encoder), device="cpu")


@pytest.fixture(scope="module")
def written(small_edition: Path) -> dict[str, list[dict]]:
    table = editions.open(small_edition).table("keyphrases").to_table().to_pylist()
    return {row["id"]: row["keyphrases"] for row in table}


def ask(indexer: Indexer, encoder: Encoder, documents: list[dict], **options) -> list[list[dict]]:
    values = [indexer.normalise(d["title"], d["abstract"], d.get("lang"), d.get("id")) for d in documents]
    return indexer.suggest(values, encoder.encode(indexer.texts(values)), **options)


@pytest.mark.parametrize("given", [("title", "abstract", "lang", "id"), ("title", "abstract")], ids=["all", "text"])
def test_every_document_gets_what_reindex_gave_it(indexer, encoder, written, given) -> None:
    raw = records(200)
    found = ask(indexer, encoder, [{name: record[name] for name in given} for record in raw])
    for record, phrases in zip(raw, found, strict=True):
        expected = written[record["id"]]
        assert [k["phrase"] for k in phrases] == [k["phrase"] for k in expected]
        np.testing.assert_allclose([k["score"] for k in phrases], [k["score"] for k in expected], atol=1e-3)
        assert [set(k) for k in phrases] == [{field.name for field in KEYPHRASE_TYPE}] * len(phrases)
        assert all(record["id"] not in k["neighbours"] for k in phrases)


def test_what_one_gets_does_not_depend_on_the_others(indexer, encoder) -> None:
    documents = records(200)[:150:13]
    together = ask(indexer, encoder, documents)
    assert [ask(indexer, encoder, [document])[0] for document in documents] == together


def test_fewer_are_the_first_of_more(indexer, encoder) -> None:
    documents = [*records(200)[::23], {"title": "Training a neural network", "abstract": "Heat transfer in a reactor."}]

    def phrases(k: int) -> list[list[tuple]]:
        return [
            [(p["phrase"], p["score"], p["category"]) for p in some] for some in ask(indexer, encoder, documents, k=k)
        ]

    most = phrases(100)
    assert max(map(len, most)) > 15  # what the edition keeps
    for k in (1, 2, 5, 14, 15, 16, 40):
        assert phrases(k) == [some[:k] for some in most]
    whole = ask(indexer, encoder, documents)
    assert [some[:15] for some in most] == [[(p["phrase"], p["score"], p["category"]) for p in s][:15] for s in whole]


def test_nothing_below_a_score(indexer, encoder) -> None:
    documents = records(30)
    whole = ask(indexer, encoder, documents)
    found = ask(indexer, encoder, documents, min_score=0.5)
    assert found == [[k for k in some if k["score"] >= 0.5] for some in whole]
    assert 0 < sum(map(len, found)) < sum(map(len, whole))


def test_a_new_document_may_have_any_neighbour(indexer, encoder) -> None:
    record = records(9)[8]
    changed = record | {"abstract": f"{record['abstract']} And more."}
    assert any(record["id"] in k["neighbours"] for k in ask(indexer, encoder, [changed])[0])


def test_a_document_is_normalised_as_an_archive_is_read(indexer) -> None:
    found = indexer.normalise("  Neural\u00a0<i>networks</i> &amp; more ", "A computa-\ntion.", identity="x")
    assert (found["id"], found["title"], found["abstract"]) == ("x", "Neural networks & more", "A computation.")
    assert found["lang"] == "en"
    assert indexer.normalise("Реактор", "", "rus")["lang"] == "ru"
    assert indexer.texts([found, indexer.normalise("Title", "")]) == ["Neural networks & more. A computation.", "Title"]


@pytest.mark.parametrize(
    ("title", "abstract", "reason"),
    [
        ("", " ", "empty_text"),
        ("12", "...", "empty_text"),
        ("a", "x" * 100_001, "too_long"),
        ("\x00\x01\x02", "", "binary"),
    ],
)
def test_what_is_no_document_is_refused_with_its_reason(indexer, title: str, abstract: str, reason: str) -> None:
    with pytest.raises(RefusedDocument, match=reason) as refused:
        indexer.normalise(title, abstract)
    assert refused.value.reason == reason
    assert refused.value.detail


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"k": 0}, "k: 0"),
        ({"k": 101}, "k: 101 is not from 1 to 100"),
        ({"min_score": 1.5}, "min_score: 1.5"),
        ({"min_score": float("nan")}, "min_score: nan"),
        ({"vectors": np.zeros((2, 32))}, "vectors: 2 for 1 documents"),
        ({"vectors": np.zeros((1, 31))}, "vectors: dimension 31"),
        ({"vectors": np.full((1, 32), np.inf)}, "vectors: row 0"),
    ],
)
def test_wrong_arguments(indexer, options: dict, message: str) -> None:
    values = [indexer.normalise("Neural networks", "")]
    with pytest.raises(ValueError, match=message):
        indexer.suggest(values, **{"vectors": np.zeros((1, 32)), **options})


def test_an_unknown_language_is_named(indexer) -> None:
    with pytest.raises(ValueError, match="lang: 'klingon' is no language"):
        indexer.normalise("a", "b", "klingon")


def test_no_document_at_all(indexer) -> None:
    assert indexer.suggest([], np.zeros((0, 32))) == []
    assert not indexer.needs_trained
    assert indexer.ranker is None
