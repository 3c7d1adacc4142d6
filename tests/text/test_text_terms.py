"""Terms of one document."""

from collections import Counter

import pymorphy3
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rutermextract.parser import ParsedWord
from rutermextract.term_extractor import TermExtractor

from kartoteka.text import prmu, russian, words
from kartoteka.text.terms import extract_terms

TITLE = "Power Walk: Revisiting the Random Surfer"
ABSTRACT = (
    "Measurement of graph centrality provides an indication of the importance of each vertex. The Random Surfer model "
    "produced PageRank. In this article, we introduce Power Walk, that can compute graph centrality with k-means."
)
RUSSIAN = (
    "Представлена методика восстановления матриц вероятностей первых столкновений нейтронов в процессе выгорания, "
    "насчитанные для 3 состояний реактора ВВЭР-1000 с помощью программы MCU. Ядерный реактор и ядерные реакторы: этот "
    "расчёт 15 двух эффективных коэффициентов размножения нейтронов активной зоны ядерного реактора."
)


def test_english_terms() -> None:
    terms = {term.key: term for term in extract_terms(TITLE, ABSTRACT, "en")}
    assert {"power walk", "random surfer", "graph central", "pagerank", "k mean"} <= set(terms)
    assert (terms["power walk"].position, terms["power walk"].count, terms["power walk"].words) == (0, 2, 2)
    assert terms["k mean"].phrase == "k-means"
    assert not any(word in key.split() for key in terms for word in ("the", "articl", "introduc"))
    assert extract_terms(TITLE, ABSTRACT, "en", limit=3) == extract_terms(TITLE, ABSTRACT, "en")[:3]


def test_french_terms_hold_their_links() -> None:
    keys = [term.key for term in extract_terms("", "Ce travail porte sur l'analyse de l'identité. La nation.", "fr")]
    assert words.phrase_key("analyse de l'identité", "fr") in keys
    assert words.phrase_key("identité", "fr") in keys
    assert not any(key.startswith(("de ", "l ")) or key.endswith((" de", " l")) for key in keys)


def test_german_terms_end_in_nouns() -> None:
    phrases = [term.phrase for term in extract_terms("", "Wir nutzen die künstliche Intelligenz optimal.", "de")]
    assert "künstliche Intelligenz" in phrases
    assert "künstliche" not in phrases


def test_russian_terms_are_in_normal_form() -> None:
    terms = {term.key: term for term in extract_terms("Расчёт ядерных реакторов", RUSSIAN, "ru")}
    assert terms["ядерн реактор"].phrase == "ядерные реакторы"
    assert terms["ядерн реактор"].count >= 2
    assert terms["ядерн реактор"].position == 1


class UncachedParser:
    """ruTermExtract's own parser, asking pymorphy3 for every token."""

    def __init__(self) -> None:
        self.morph = pymorphy3.MorphAnalyzer()

    def __call__(self, word: str) -> ParsedWord | None:
        parses = self.morph.parse(word)
        return ParsedWord(parses) if parses else None


@pytest.fixture(scope="module")
def original() -> TermExtractor:
    return TermExtractor(parser=UncachedParser())


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from([*RUSSIAN.split(), "и", "—", "GPU-ускоритель", "№", "их", "пятый"]), max_size=25))
def test_chunks_are_those_of_rutermextract(original: TermExtractor, tokens: list[str]) -> None:
    text = " ".join(tokens)
    for nested in (False, True):
        _, chunks = russian.chunks(text, nested=nested)
        ours = Counter(phrase for _, phrase in chunks)
        assert ours == {term.normalized: term.count for term in original(text, nested=nested)}


@settings(max_examples=150, deadline=None)
@given(
    st.text(max_size=60) | st.sampled_from([TITLE, RUSSIAN]),
    st.text(alphabet="abКотяé-'.,+ 1日İ\u0301", max_size=120) | st.sampled_from([ABSTRACT, RUSSIAN]),
    st.sampled_from(["en", "fr", "de", "ru", "uk", "und"]),
)
def test_terms_are_told_truly(title: str, abstract: str, lang: str) -> None:
    terms = extract_terms(title, abstract, lang, limit=50)
    assert terms == extract_terms(title, abstract, lang, limit=50)
    assert len({term.key for term in terms}) == len(terms) <= 50
    stems = words.stems(title, lang), words.stems(abstract, lang)
    text = prmu.StemmedText(*stems)
    for term in terms:
        assert term.key == words.phrase_key(term.phrase, lang) != ""
        assert term.words == len(term.key.split())
        assert 0 <= term.position < len(stems[0]) + len(stems[1])
        if lang != "ru":  # Russian phrases are put in normal form, which may not occur
            assert (term.position, term.count) == text.find(term.key)


@pytest.mark.parametrize("lang", ["en", "ru", "und"])
@pytest.mark.parametrize("text", ["word " * 100_000, "a" * 1_000_000, "слово-" * 100_000, "1 " * 100_000])
def test_hostile_text_ends(text: str, lang: str) -> None:
    assert len(extract_terms(text, text, lang)) <= 20


def test_nothing_gives_nothing() -> None:
    assert extract_terms("", "", "en") == extract_terms("", "", "ru") == extract_terms("— ,", "!", "fr") == []


def test_letters_without_a_unicode_name_are_no_words() -> None:
    tangut = "\U00017000\U00018d00"
    assert extract_terms(tangut, f"{tangut} нейронная сеть", "ru")[0].phrase == "нейронная сеть"
