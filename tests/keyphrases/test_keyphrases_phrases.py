"""Which written forms are one phrase."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kartoteka.keyphrases.phrases import build_phrases, clean, count_uses, shape
from kartoteka.text.words import phrase_key


def test_the_most_used_form_stands_for_all_forms_of_a_phrase() -> None:
    uses = {("Neural networks", "en"): 2, ("neural network", "en"): 3, ("Neural Network", "en"): 1, ("robots", "en"): 1}
    table = build_phrases(uses, ["en"], 8)
    assert table.surfaces == ["neural network", "robots"]
    assert {table.of[form, "en"] for form in ("Neural networks", "neural network", "Neural Network")} == {0}


def test_equally_used_forms_are_decided_by_the_alphabet() -> None:
    uses = {("robots", "en"): 2, ("Robots", "en"): 2, ("robot", "en"): 2}
    assert build_phrases(uses, ["en"], 8).surfaces == ["Robots"]
    assert build_phrases(dict(reversed(uses.items())), ["en"], 8).surfaces == ["Robots"]


def test_one_heading_on_records_of_two_languages_is_one_phrase() -> None:
    table = build_phrases({("Digitalization", "de"): 1, ("digitalization", "en"): 1}, ["de", "en"], 8)
    assert len(table.surfaces) == 1
    assert {key for _, _, key in table.forms} == {phrase_key("digitalization", lang) for lang in ("de", "en")}


def test_a_sentence_and_a_phrase_without_words_are_no_phrases() -> None:
    uses = {(" ".join(["word"] * 9), "en"): 5, ("...", "en"): 5, ("x" * 10_000, "en"): 1}
    assert build_phrases(uses, ["en"], 8).surfaces == ["x" * 10_000]


def test_a_document_counts_once_for_a_phrase_it_repeats() -> None:
    uses = count_uses([["robots", " robots;", "", "  "], ["robots"]], ["en", "en"])
    assert uses == {("robots", "en"): 2}


@pytest.mark.parametrize(
    ("written", "form"), [("  deep\n learning ", "deep learning"), ('"e-mail".', "e-mail"), (" - ", ""), ("C++", "C++")]
)
def test_written_forms_are_cleaned(written: str, form: str) -> None:
    assert clean(written) == form


def test_shape_tells_acronyms_from_terms() -> None:
    assert shape("XML") == (3.0, 1.0)
    assert shape("data base") == (9.0, 0.0)
    assert shape("42") == (2.0, 0.0)


_FORMS = st.text(alphabet="aAbs -é", min_size=1, max_size=8).map(clean).filter(bool)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.tuples(_FORMS, st.sampled_from(["en", "fr"])), st.integers(1, 5), max_size=25))
def test_every_form_with_words_belongs_to_one_phrase_whatever_the_order(uses: dict[tuple[str, str], int]) -> None:
    table = build_phrases(uses, ["en", "fr"], 8)
    assert set(table.of) == {use for use in uses if phrase_key(*use)}
    assert build_phrases(dict(reversed(uses.items())), ["en", "fr"], 8) == table
    assert sum(table.language_counts.values()) == sum(uses[use] for use in table.of)
    for (form, lang), phrase in table.of.items():
        for (other, other_lang), other_phrase in table.of.items():
            if lang == other_lang and phrase_key(form, lang) == phrase_key(other, lang):
                assert phrase == other_phrase
    for phrase, surface in enumerate(table.surfaces):
        assert any(table.of.get((surface, lang)) == phrase for lang in ("en", "fr"))
