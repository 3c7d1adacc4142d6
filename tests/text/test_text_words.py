"""Words, stems and the identity of a phrase."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kartoteka.text import words

any_text = st.text(max_size=200) | st.text(alphabet="aÉё'’s-+#cIİ·Σσ 日本हि\u0301\u0308\u200d.1_", max_size=60)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The K-means of Parkinson's disease", ["the", "k", "means", "of", "parkinson", "disease"]),
        ("l’analyse d'Einstein", ["l", "analyse", "d", "einstein"]),
        ("C++, C# and IEEE 802.11ac", ["c++", "c#", "and", "ieee", "802", "11ac"]),
        ("Ёлка ВВЭР-1000 и PageRank", ["елка", "ввэр", "1000", "и", "pagerank"]),
        ("हिन्दी भाषा", ["हिन्दी", "भाषा"]),
        ("日本語 text", ["日", "本", "語", "text"]),
        ("snake_case", ["snake", "case"]),
        ("e\u0301te\u0301", ["été"]),
        (" .,;!— ", []),
        ("", []),
    ],
)
def test_tokenise(text: str, expected: list[str]) -> None:
    assert words.tokenise(text) == expected


@given(any_text)
def test_words_of_words_are_the_same_words(text: str) -> None:
    found = words.tokenise(text)
    assert words.tokenise(" ".join(found)) == found


@given(any_text)
def test_spans_hold_the_words(text: str) -> None:
    printed = words.printed(text)
    forms = [printed[start:stop] for start, stop in words.word_spans(printed)]
    assert words.lower_words(forms) == words.tokenise(text)


@given(st.lists(st.sampled_from(["Bohr", "'s", "\u2019S", "'", "x", " ", "c++", "s", "\u0f84", "\u0344"])).map("".join))
def test_spans_in_a_stored_text_leave_possessive_endings_out(text: str) -> None:
    assert words.lower_words([text[start:stop] for start, stop in words.word_spans(text)]) == words.tokenise(text)


@given(any_text, st.sampled_from(["ru", "en", "fr", "de", "zh", "und"]))
def test_stems_are_one_for_each_word_and_hold_no_space(text: str, lang: str) -> None:
    stems = words.stems(text, lang)
    assert len(stems) == len(words.tokenise(text))
    assert all(stem and not set(stem) & set(" \n") for stem in stems)
    assert words.phrase_key(text, lang).split() == stems


@pytest.mark.parametrize(
    ("lang", "one", "other"),
    [
        ("ru", "ядерные реакторы", "ядерного реактора"),
        ("ru", "расчёт выгорания", "расчеты выгорания"),
        ("en", "neural networks", "Neural-network"),
        ("fr", "littérature chilienne", "littératures chiliennes"),
        ("de", "erneuerbare Energien", "erneuerbarer Energie"),
    ],
)
def test_forms_of_a_phrase_have_one_key(lang: str, one: str, other: str) -> None:
    assert words.phrase_key(one, lang) == words.phrase_key(other, lang) != ""


def test_language_without_stemmer_keeps_its_words() -> None:
    assert words.stems("Ядерні реактори", "uk") == ["ядерні", "реактори"]
    assert words.stop_words("uk") == frozenset()


def test_content_stems_leave_stop_words_out() -> None:
    assert words.content_stems("the theory of graphs", "en") == ["theori", "graph"]
    assert words.content_stems("теория и практика её целей", "ru") == words.stems("теория практика целей", "ru")
    assert words.stems("the graphs", "en") == ["the", "graph"]


def test_every_named_stemmer_exists() -> None:
    for lang in words.SNOWBALL:
        assert words.stem_words(["a"], lang)


def test_cache_is_bounded_and_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = [f"{start}working" for start in "abcdefghijklmnop"]
    expected = words.stem_words(seen, "en")
    monkeypatch.setattr(words, "_CACHE_WORDS", 7)
    cache = words._Stems("en")
    assert [cache[word] for word in seen] == expected != seen
    assert len(cache) <= 7


def test_text_without_spaces_is_one_word() -> None:
    assert words.stems("a" * 1_000_000, "en") == ["a" * 1_000_000]
