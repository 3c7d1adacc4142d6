"""One2Seq as text and as token numbers."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kartoteka.generation.targets import (
    MARKS,
    finished,
    fitted_source,
    fitted_target,
    ordered,
    parse,
    plain,
    source_text,
    target_text,
)
from kartoteka.text.words import phrase_key

WORDS = st.sampled_from(["graph", "graphs", "Heat", "реактор", "<SEP>", "<s>", "c++", "x", "-", "état", " ", "\n", "<"])
PHRASES = st.lists(st.lists(WORDS, max_size=4).map(" ".join) | st.text(max_size=12), max_size=8)
SEP, END = 5, 2


def test_present_phrases_come_first_in_the_order_of_the_text_and_absent_ones_as_given():
    found = ordered(
        "Graph theory", "On heat transfer in graphs.", ["soil", "heat transfers", "Graph", "acid", "graph theory"], "en"
    )
    assert found == ["Graph", "graph theory", "heat transfers", "soil", "acid"]


def test_a_phrase_across_title_and_abstract_is_absent():
    assert ordered("Graph", "theory of sets", ["graph theory", "sets"], "en") == ["sets", "graph theory"]


def test_source_and_target_are_the_papers():
    assert source_text("A title", "An <s> abstract\nof two lines") == "A title<s>An abstract of two lines"
    assert target_text(["heat", "graph theory"]) == "heat<SEP>graph theory"


@given(PHRASES, st.sampled_from(["en", "ru", "xx"]))
def test_round_trip(phrases, lang):
    written = ordered("Graph theory of x", "Heat, реакторы", phrases, lang)
    assert parse(target_text(written), lang) == written
    keys = [phrase_key(phrase, lang) for phrase in written]
    assert len(set(keys)) == len(keys)
    assert set(keys) == {phrase_key(plain(phrase), lang) for phrase in phrases} - {""}


@given(st.text() | st.lists(st.sampled_from(MARKS)).map("".join))
def test_plain_text_holds_no_mark(text):
    assert not any(mark in plain(text) for mark in MARKS)
    assert plain(plain(text)) == plain(text)


def test_parsing_drops_what_has_no_word_and_what_was_said_before():
    assert parse("heat<SEP> - <SEP><SEP>Heats<SEP> soil</s>", "en") == ["heat", "soil"]


@given(st.lists(st.integers(10, 20) | st.just(SEP), max_size=30), st.integers(3, 12))
def test_a_target_that_is_cut_holds_whole_phrases(inner, limit):
    tokens = [0, *inner, END]
    cut = fitted_target(tokens, limit, SEP)
    assert len(cut) <= limit
    assert cut[-1] == END
    assert cut[:-1] == tokens[: len(cut) - 1]
    if len(tokens) > limit and SEP in tokens[1:limit]:
        assert tokens[len(cut) - 1] == SEP  # what follows the last token kept: a phrase ended there


@given(st.lists(st.integers(10, 20), max_size=30), st.integers(2, 12))
def test_a_source_keeps_its_end_mark(inner, limit):
    tokens = [0, *inner, END]
    cut = fitted_source(tokens, limit)
    assert len(cut) == min(limit, len(tokens))
    assert cut[-1] == END


def test_a_sequence_that_was_stopped_loses_the_phrase_it_was_at():
    assert finished([10, 11, SEP, 12, END, 1, 1], SEP, END) == [10, 11, SEP, 12]
    assert finished([10, 11, SEP, 12, SEP, 13], SEP, END) == [10, 11, SEP, 12]
    assert finished([10, 11], SEP, END) == [10, 11]
