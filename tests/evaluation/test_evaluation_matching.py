"""Tokens, stems, lemmas and PRMU classes against the definitions they come from."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nltk.stem import PorterStemmer
from nltk.tokenize import NLTKWordTokenizer

from kartoteka.evaluation.matching import Source, holds_placeholder, normalise_words, word_tokenize

INNER = st.sampled_from(
    ["graph", "graphs", "e.g.", "cf.", "al.", "don't", "cannot", "3.5", "(nets)", "x,", "state-of-the-art", "U.S.",
     "J.", '"deep"', "--", "f(x)", "50%", "[12]", "и", "модель", "users'", "a/b", "p;"]
)  # fmt: skip
LAST = st.sampled_from(["graph", "networks", "data", "2010", "(net)", "модель", "end-to-end"])
CLOSER = st.sampled_from([".", ".)", '."', "?", "!"])
SENTENCE = st.builds(lambda inner, last, closer: " ".join([*inner, last]) + closer, st.lists(INNER), LAST, CLOSER)


@given(st.lists(SENTENCE, max_size=4))
def test_word_tokenize_is_the_treebank_of_each_sentence(sentences):
    treebank = NLTKWordTokenizer()
    expected = [token for sentence in sentences for token in treebank.tokenize(sentence)]
    assert word_tokenize(" ".join(sentences)) == expected


@given(st.lists(st.sampled_from(["cannot", "Gonna", "a-b", "x", "9", "--", "net_1", "\u00a0", "Ёлка"]), max_size=6))
def test_plain_text_is_split_as_the_treebank_splits_it(words):
    text = " ".join(words)
    assert word_tokenize(text) == NLTKWordTokenizer().tokenize(text)


def test_periods_are_words_only_at_the_end_of_sentences():
    assert word_tokenize("We use nets (e.g. CNNs). Smith et al. agree. It ends.") == (
        ["We", "use", "nets", "(", "e.g.", "CNNs", ")", ".", "Smith", "et", "al.", "agree", ".", "It", "ends", "."]
    )


def test_porter_matching_is_nltk_porter_of_lower_case():
    stemmer = PorterStemmer()
    words = ["Networks", "Generalization", "dying", "Ponies", "skis", "agreed", "Модели"]
    assert normalise_words(" ".join(words), matching="porter") == [stemmer.stem(word.lower()) for word in words]
    assert normalise_words("Neural Networks", matching="porter") == ["neural", "network"]


def test_porter_leaves_cyrillic_and_lemmas_do_not():
    assert normalise_words("моделей", matching="porter") != normalise_words("модели", matching="porter")
    assert normalise_words("нейронных сетей", "ru") == normalise_words("Нейронная сеть", "ru") == ["нейронный", "сеть"]
    assert normalise_words("нейронных сетей", "ru", "lemma") == ["нейронный", "сеть"]


def test_yo_is_ye():
    assert normalise_words("учёт ёмкости", "ru") == normalise_words("учет емкость", "ru")


def test_mixed_scripts_take_the_rule_of_each_word():
    assert normalise_words("web-сервисов и networks", "ru") == [*normalise_words("web-сервисы", "ru"), "и", "network"]


def test_french_has_its_own_stems():
    assert normalise_words("Réseaux neuronaux", "fr") == normalise_words("réseau neuronal", "fr")


@pytest.mark.parametrize(
    ("written", "plain"),
    [("user\u2019s model", "user's model"), ("non\u2011linear", "non-linear"), ("cafe\u0301", "caf\u00e9")],
)
def test_typography_does_not_part_equal_phrases(written, plain):
    assert normalise_words(written) == normalise_words(plain)


def test_hyphen_stays_inside_a_word():
    assert normalise_words("state-of-the-art", matching="lower") == ["state-of-the-art"]


def test_digit_placeholder_is_one_word_and_stands_for_numbers():
    assert normalise_words("top <digit> lists", matching="lower") == ["top", "<digit>", "lists"]
    assert normalise_words("top 10 lists", matching="lower", digits=True) == ["top", "<digit>", "lists"]
    assert normalise_words("web2 10", matching="lower", digits=True) == ["web2", "<digit>"]
    assert holds_placeholder("a", "b <digit>")
    assert not holds_placeholder("digit")


def of(title: str, abstract: str, joined: bool = False) -> Source:
    return Source.of(normalise_words(title), normalise_words(abstract), "joined" if joined else "separate")


@pytest.mark.parametrize(
    ("phrase", "category"),
    [
        ("neural network", "present"),
        ("Neural Networks", "present"),
        ("graph theory", "present"),
        ("network neural", "reordered"),
        ("network graph", "reordered"),
        ("graph coloring", "mixed"),
        ("quantum coloring", "unseen"),
        ("net", "unseen"),
        ("neural networks for graph theory and for very many other things as well", "mixed"),
    ],
)
def test_the_four_classes(phrase, category):
    source = of("Neural networks", "We study the theory of graphs: graph theory.")
    assert source.category(normalise_words(phrase)) == category


def test_no_phrase_is_present_across_title_and_abstract_unless_they_are_joined():
    words = normalise_words("networks learn")
    assert of("Neural networks", "Learn more.").category(words) == "reordered"
    assert of("Neural networks", "Learn more.", joined=True).category(words) == "present"


def test_the_end_of_a_long_abstract_counts():
    assert of("", "word " * 2000 + "graph theory").category(normalise_words("graph theories")) == "present"


def test_an_empty_phrase_is_present_as_the_empty_list_is_contained_everywhere():
    assert of("", "").category([]) == "present"
    assert of("a", "b").category([]) == "present"


WORDS = st.lists(st.sampled_from("abcd"), max_size=6)


@given(WORDS, WORDS, WORDS)
def test_category_is_the_list_code_of_the_paper(title, abstract, phrase):
    def contains(inner, outer):
        return any(outer[i : i + len(inner)] == inner for i in range(len(outer) - len(inner) + 1))

    if contains(phrase, title) or contains(phrase, abstract):
        expected = "present"
    else:
        known = [word for word in phrase if word in title or word in abstract]
        expected = "reordered" if len(known) == len(phrase) else "mixed" if known else "unseen"
    assert Source.of(title, abstract).category(phrase) == expected
