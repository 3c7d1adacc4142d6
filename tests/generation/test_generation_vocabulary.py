"""The byte-level vocabulary, and its way to the disk and back."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kartoteka.generation.targets import MARKS, plain, target_text
from kartoteka.generation.vocabulary import encode, learn_tokenizer, open_tokenizer

TEXTS = ["graph theory of graphs", "ядерный реактор", "heat transfer and heat", "graph theory"] * 5


@pytest.fixture(scope="module")
def tokenizer():
    return learn_tokenizer(TEXTS, 330, 64)


def test_the_marks_have_barts_numbers(tokenizer):
    assert tokenizer.convert_tokens_to_ids(list(MARKS)) == [0, 1, 2, 3, 4, 5]
    assert len(tokenizer) <= 330


def test_equal_texts_give_equal_vocabularies(tokenizer):
    again = learn_tokenizer(iter(TEXTS), 330, 64)
    assert again.backend_tokenizer.to_str() == tokenizer.backend_tokenizer.to_str()


def test_a_word_is_the_same_token_at_the_start_and_inside(tokenizer):
    (first,), (second,) = (encode(tokenizer, [text]) for text in ("graph<SEP>graph", "theory graph"))
    assert first == [0, first[1], 5, first[1], 2]
    assert second[-2] == first[1]


@settings(deadline=None)
@given(st.lists(st.text(max_size=20), max_size=4))
def test_any_text_survives(tokenizer, phrases):
    phrases = [plain(phrase) for phrase in phrases]
    (tokens,) = encode(tokenizer, [target_text(phrases)])
    text = tokenizer.decode(tokens[1:-1], clean_up_tokenization_spaces=False)
    assert [piece.strip() for piece in text.split("<SEP>")] == [p.strip() for p in (phrases or [""])]


def test_saved_and_opened_by_transformers_it_is_the_same(tokenizer, tmp_path):
    tokenizer.save_pretrained(tmp_path)
    opened = open_tokenizer(tmp_path)
    texts = ["graph theory<s>heat\u2028x", "ядерный<SEP>theory", ""]
    assert encode(opened, texts) == encode(tokenizer, texts)
    assert opened(texts[1])["input_ids"] == encode(tokenizer, texts)[1]
    assert opened.model_max_length == 64


def test_a_directory_without_one_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="no tokeniser in"):
        open_tokenizer(tmp_path)
