"""Which words of a query are looked for, and how they are shown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kartoteka.online.words import SNIPPET, Match, matches, printed_terms, search_stems, snippet, text_stems
from kartoteka.text.words import content_stems, tokenise

WORDS = ["neural", "networks", "network", "the", "training", "of", "models", "café", "Ядерный", "реактора", "k-means"]
TEXTS = st.lists(st.sampled_from(WORDS), max_size=120).map(" ".join)


def test_a_word_is_looked_for_in_every_language() -> None:
    assert set(search_stems("reactors реакторы", ["en", "ru"])) >= {"reactor", "реактор"}
    assert search_stems("neural networks neural", ["en"]) == ["neural", "network"]


def test_stop_words_are_those_of_the_language_the_words_look_like() -> None:
    assert "the" not in search_stems("the history of the reactor", ["fr", "en"])
    assert "les" not in search_stems("les bibliothèques de la ville", ["en", "fr"])
    assert search_stems("the of", ["en"]) == ["the", "of"]  # nothing else was asked for


def test_a_text_is_stemmed_as_documents_are() -> None:
    text = "The training of deep neural networks and of other networks."
    assert text_stems(text, ["en", "ru", "fr"]) == content_stems(text, "en")
    assert text_stems(text, ["fr"]) == content_stems(text, "fr")


@given(TEXTS, st.sampled_from(["en", "ru", "fr"]))
def test_matches_are_the_words_whose_stems_are_wanted(text: str, lang: str) -> None:
    wanted = {"network", "реактор", "caf", "café", "k"}
    found = matches(text, lang, wanted)
    assert all(tokenise(text[m.start : m.stop]) for m in found)
    stems = content_stems(text, lang)
    assert [m.stem for m in found if m.stem in stems] == [stem for stem in stems if stem in wanted]


@given(TEXTS, st.integers(0, 3))
def test_a_snippet_shows_what_its_marks_say(text: str, more: int) -> None:
    text = " ".join([text] * (1 + more))
    weights = {"network": 2.0, "train": 1.0, "model": 0.5}
    found = matches(text, "en", weights)
    shown, marks = snippet(text, found, weights)
    assert len(shown) <= SNIPPET + 4
    assert shown.removeprefix("… ").removesuffix(" …") in text
    printed = {text[m.start : m.stop] for m in found}
    assert {shown[a:z] for a, z in marks} <= printed
    assert list(marks) == sorted(marks)
    if len(text) <= SNIPPET:
        assert (shown, len(marks)) == (text, len(found))
    if found:
        assert marks


def test_the_snippet_is_where_the_rare_words_are() -> None:
    text = f"{'common ' * 100}a rare word stands here {'common ' * 100}"
    weights = {"common": 0.1, "rare": 5.0}
    shown, marks = snippet(text, matches(text, "en", weights), weights)
    assert "rare" in {shown[a:z] for a, z in marks}
    assert shown.startswith("… ")
    assert shown.endswith(" …")


def test_a_text_without_spaces_is_cut_all_the_same() -> None:
    shown, marks = snippet("x" * 5000, [Match(4000, 4010, "x")], {"x": 1.0})
    assert len(shown) <= SNIPPET + 4
    assert len(marks) == 1


def test_terms_are_printed_as_the_document_has_them() -> None:
    weights = {"network": 1.0, "reactor": 3.0, "cool": 2.0}
    texts = ("Reactors: cooling", "Networks of reactors; the network")
    assert printed_terms(texts, "en", weights) == ("Reactors", "cooling", "Networks")


def test_the_words_of_a_possessive_are_marked_in_place() -> None:
    text = "Newton's method and Newtons"
    found = matches(text, "en", {"newton"})
    assert [text[m.start : m.stop] for m in found] == ["Newton", "Newtons"]
    assert matches("Newton's and Bohr\u2019s", "en", {"s"}) == []  # the index holds no such word


def test_a_rare_language_counts_where_the_words_look_like_it() -> None:
    german = "Die Geschichte der deutschen Bibliotheken und ihrer Sammlungen"
    assert text_stems(german, ["en", "ru"], ["de"]) == content_stems(german, "de")
    assert text_stems(german, ["en"], ["de"]) == content_stems(german, "de")
    assert text_stems(german, ["en", "ru"], ["fr"]) == search_stems(german, ["en", "ru"])
    assert set(content_stems(german, "de")) <= set(search_stems(german, ["en"], ["de"]))
    assert "und" not in search_stems(german, ["en"], ["de"])


def test_without_any_language_nothing_is_looked_for() -> None:
    assert search_stems("neural networks", []) == text_stems("neural networks", []) == []


@pytest.mark.parametrize("query", ["", "...", "\u200b"])
def test_no_word_at_all(query: str) -> None:
    assert search_stems(query, ["en"]) == []
