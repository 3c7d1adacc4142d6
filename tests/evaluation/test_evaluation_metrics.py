"""Each formula against an independent one written out here, and the numbers the notes of the field print."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nltk.stem import PorterStemmer

from kartoteka.evaluation.conventions import PRESETS, Convention, convention
from kartoteka.evaluation.matching import CLASSES, Source, normalise_words
from kartoteka.evaluation.metrics import Counts, Metric, Phrases, count, phrases_of, sample

HOUSE = PRESETS["mean-f1"]
F1_AT_5 = Metric("F1@5", "all", 5, "f1")
F1_AT_O = Metric("F1@O", "all", "O", "f1")
F1_AT_M = Metric("F1@M", "all", "M", "f1")
PRESENT_AT_O = Metric("present F1@O", "present", "O", "f1")


def phrases(text: str, classes: str | None = None) -> Phrases:
    """`"a b c"` as three one-word phrases; `classes` has a letter of PRMU each."""
    keys = text.split()
    names = {name[0]: name for name in CLASSES}
    return Phrases(keys, [names[c] for c in (classes or "p" * len(keys))], list(range(len(keys))))


def one(metric: Metric, predicted: Phrases, wanted: Phrases, rule: Convention) -> Counts:
    return count(metric, predicted, wanted, rule)


def test_three_right_predictions_at_five():
    predicted, wanted = phrases("a b c"), phrases("a b c d")
    padded = one(F1_AT_5, predicted, wanted, PRESETS["chan"])
    assert padded.precision == pytest.approx(3 / 5)
    assert padded.recall == pytest.approx(3 / 4)
    flexible = one(F1_AT_5, predicted, wanted, HOUSE)
    assert flexible.precision == 1.0
    assert flexible.f1 == pytest.approx(2 * 0.75 / 1.75)


def test_oracle_cut_padded_makes_precision_recall_and_f1_equal():
    counts = one(F1_AT_O, phrases("a x"), phrases("a b c d"), PRESETS["kpeval"])
    assert counts.precision == counts.recall == counts.f1 == 0.25
    assert one(F1_AT_O, phrases("a x"), phrases("a b c d"), HOUSE).precision == 0.5


def test_f1_at_m_takes_all_predictions():
    counts = one(F1_AT_M, phrases("x y a b"), phrases("a b"), HOUSE)
    assert (counts.precision, counts.recall) == (0.5, 1.0)
    assert counts == one(F1_AT_M, phrases("x y a b"), phrases("a b"), PRESETS["chan"])


def test_f1_at_g_takes_the_longer():
    metric = Metric("present F1@G", "present", "G", "f1")
    counts = one(metric, phrases("a x"), phrases("a b c d"), PRESETS["kpeval"])
    assert counts.precision == 1 / 4
    assert one(metric, phrases("a x y"), phrases("a"), PRESETS["kpeval"]).precision == pytest.approx(1 / 3)


def test_choi_recall_divides_by_what_could_be_found():
    counts = one(F1_AT_5, phrases("a b c d e"), phrases("a b c d e f g h i j"), PRESETS["simckp"])
    assert counts.recall == 1.0
    assert one(F1_AT_5, phrases("a b c d e"), phrases("a b c d e f g h i j"), PRESETS["chan"]).recall == 0.5


def test_split_and_cut_orders_differ_as_named():
    # Predictions P U P P, references two present and one unseen.
    predicted = phrases("x u a b", "pupp")
    wanted = phrases("a b u", "ppu")
    by = {name: replace(HOUSE, split=name) for name in ("split-cut", "cut-split", "unsplit")}
    first = one(PRESENT_AT_O, predicted, wanted, by["split-cut"])  # x a | against a b
    assert (first.matches, first.predicted, first.references) == (1, 2, 2)
    second = one(PRESENT_AT_O, predicted, wanted, by["cut-split"])  # x u a, of which x a are present
    assert (second.matches, second.predicted, second.references) == (1, 2, 2)
    third = one(PRESENT_AT_O, predicted, wanted, by["unsplit"])  # x u | against a b
    assert (third.matches, third.predicted, third.references) == (0, 2, 2)
    late = phrases("u x a b", "uupp")
    assert one(PRESENT_AT_O, late, wanted, by["split-cut"]).f1 == 1.0
    assert one(PRESENT_AT_O, late, wanted, by["cut-split"]).matches == 1


def test_padded_cut_split_pads_to_the_number_that_was_cut_at():
    rule = replace(PRESETS["chan"], split="cut-split")
    metric = Metric("present F1@5", "present", 5, "f1")
    counts = one(metric, phrases("a u b", "pup"), phrases("a b", "pp"), rule)
    assert (counts.matches, counts.predicted) == (2, 5)


def test_no_references_in_the_class_at_oracle_is_all_zero():
    counts = one(PRESENT_AT_O, phrases("a"), phrases("u", "u"), HOUSE)
    assert counts == Counts(0, 0, 0, 0)
    assert (counts.precision, counts.recall, counts.f1) == (0.0, 0.0, 0.0)


def test_empty_predictions_score_zero_under_every_convention():
    for rule in PRESETS.values():
        counts = one(F1_AT_5, phrases(""), phrases("a b"), rule)
        assert (counts.matches, counts.f1, counts.recall) == (0, 0.0, 0.0)


def value(metric: Metric, pairs: list[tuple[Phrases, Phrases]], rule: Convention) -> float:
    rows = [one(metric, p, w, rule) for p, w in pairs]
    table = np.array([[c.matches, c.predicted, c.wanted, c.references] for c in rows])
    return sample(metric, table, rule).value


def test_three_averages_of_two_documents():
    pairs = [(phrases("a"), phrases("a b c d")), (phrases("x y z w v"), phrases("x"))]
    # P = 1, 1/5; R = 1/4, 1; F1 = 2/5, 1/3
    assert value(F1_AT_5, pairs, HOUSE) == pytest.approx((2 / 5 + 1 / 3) / 2)
    p, r = (1 + 1 / 5) / 2, (1 / 4 + 1) / 2
    assert value(F1_AT_5, pairs, replace(HOUSE, average="harmonic")) == pytest.approx(2 * p * r / (p + r))
    p, r = 2 / 6, 2 / 5
    assert value(F1_AT_5, pairs, replace(HOUSE, average="micro")) == pytest.approx(2 * p * r / (p + r))


def test_documents_without_references_of_the_class_are_zero_or_skipped():
    pairs = [(phrases("a"), phrases("a")), (phrases("a"), phrases("u", "u"))]
    assert value(PRESENT_AT_O, pairs, replace(HOUSE, empty="skip")) == 1.0
    assert value(PRESENT_AT_O, pairs, replace(HOUSE, empty="zero")) == 0.5
    assert np.isnan(value(PRESENT_AT_O, pairs[1:], replace(HOUSE, empty="skip")))


SOURCE = Source.of(normalise_words("Graph models"), normalise_words("We model a graph."))


def kept(given_phrases: list[str], rule: Convention = HOUSE, reference: bool = False) -> list[str]:
    return phrases_of(given_phrases, SOURCE, "en", rule, reference=reference).keys


def test_duplicates_after_stemming_are_one_and_the_first_stays():
    assert kept(["graph models", "x", "Graph Model", "x"]) == ["graph model", "x"]
    assert kept(["model", "models"], reference=True) == ["model"]


def test_references_as_given_keep_recall_below_one():
    rule = PRESETS["opennmt"]
    wanted = phrases_of(["model", "models"], SOURCE, "en", rule, reference=True)
    predicted = phrases_of(["model", "models"], SOURCE, "en", rule, reference=False)
    assert wanted.keys == ["model", "model"]
    assert one(F1_AT_M, predicted, wanted, rule).recall == 0.5


def test_what_is_no_phrase_is_dropped():
    assert kept(["", "  ", "--", "...", ";", "c++", "a, b", "x.z"]) == ["c++", "a , b", "x.z"]
    assert kept(["--", "", "a, b"], PRESETS["kpeval"]) == ["--", "a , b"]
    assert kept(["--", "", "a, b"], PRESETS["chan"]) == ["--"]
    assert kept(["a, b"], PRESETS["chan"], reference=True) == ["a , b"]


def test_separators_inside_a_phrase_do_not_split_it():
    assert kept(["time; space"]) == ["time ; space"]


def test_unknown_convention_is_named():
    with pytest.raises(ValueError, match="convention: unknown `nope`"):
        convention("nope")
    assert convention("KPEval") is PRESETS["kpeval"]


def test_every_convention_describes_itself_apart():
    lines = {rule.describe().split(":", 1)[1] for rule in PRESETS.values()}
    assert len(lines) >= len(PRESETS) - 1  # kg_one2set is chan by another name


# Independent writings of the community's scripts, on raw words.

VOCABULARY = ["graph", "graphs", "model", "models", "net", "nets", "data", "learning", "deep graph", "graph model"]
LISTS = st.lists(st.sampled_from(VOCABULARY), max_size=8)
CORPUS = st.lists(
    st.tuples(LISTS, st.lists(st.sampled_from(VOCABULARY), min_size=1, max_size=8), LISTS), min_size=1, max_size=5
)
_stem = PorterStemmer().stem


def _stemmed(phrase: str) -> tuple[str, ...]:
    return tuple(_stem(word) for word in phrase.split())


def _unique(items: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    return [item for i, item in enumerate(items) if item not in items[:i]]


def _is_present(phrase: tuple[str, ...], words: list[str]) -> bool:
    return any(tuple(words[i : i + len(phrase)]) == phrase for i in range(len(words)))


def _ours(corpus, name: str, metric: Metric) -> float:
    rule, rows = PRESETS[name], []
    for predicted, wanted, text in corpus:
        source = Source.of([], normalise_words(" ".join(text), "en", rule.matching), rule.source)
        p = phrases_of(predicted, source, "en", rule, reference=False)
        w = phrases_of(wanted, source, "en", rule, reference=True)
        c = count(metric, p, w, rule)
        rows.append([c.matches, c.predicted, c.wanted, c.references])
    return sample(metric, np.array(rows), rule).value


@pytest.mark.parametrize("at", [5, 10, "M", "O"])
@pytest.mark.parametrize("present", [True, False])
@settings(max_examples=50)
@given(corpus=CORPUS)
def test_chan_is_the_script_of_chan(corpus, at, present):
    """kg_one2set/evaluate_prediction.py: unique references, padded precision, F1 of the mean P and the mean R."""
    precisions, recalls = [], []
    for predicted, wanted, text in corpus:
        words = [_stem(word) for word in " ".join(text).split()]
        p = [x for x in _unique([_stemmed(x) for x in predicted]) if _is_present(x, words) == present]
        w = [x for x in _unique([_stemmed(x) for x in wanted]) if _is_present(x, words) == present]
        k = {"M": len(p), "O": len(w)}.get(at, at)
        hits = sum(x in w for x in p[:k])
        precisions.append(hits / k if k and p else 0.0)
        recalls.append(hits / len(w) if w else 0.0)
    mean_p, mean_r = sum(precisions) / len(precisions), sum(recalls) / len(recalls)
    expected = 2 * mean_p * mean_r / (mean_p + mean_r) if mean_p + mean_r else 0.0
    metric = Metric("", "present" if present else "absent", at, "f1")
    assert _ours(corpus, "chan", metric) == pytest.approx(expected)


@pytest.mark.parametrize("at", [5, 10, "M", "O"])
@settings(max_examples=50)
@given(corpus=CORPUS)
def test_opennmt_is_the_script_of_opennmt(corpus, at):
    """onmt/keyphrase/eval.py: references as given, flexible precision, mean of the documents' F1."""
    scores = []
    for predicted, wanted, text in corpus:
        words = [_stem(word) for word in " ".join(text).split()]
        p = [x for x in _unique([_stemmed(x) for x in predicted]) if _is_present(x, words)]
        w = [x for x in map(_stemmed, wanted) if _is_present(x, words)]
        k = {"M": len(p), "O": len(w)}.get(at, at)
        hits = sum(x in w for x in p[:k])
        precision, recall = hits / len(p[:k]) if p[:k] else 0.0, hits / len(w) if w else 0.0
        scores.append(2 * precision * recall / (precision + recall) if hits else 0.0)
    assert _ours(corpus, "opennmt", Metric("", "present", at, "f1")) == pytest.approx(sum(scores) / len(scores))


@given(corpus=CORPUS)
def test_simckp_skips_and_divides_by_the_cut(corpus):
    precisions, recalls = [], []
    for predicted, wanted, text in corpus:
        words = [_stem(word) for word in " ".join(text).split()]
        p = [x for x in _unique([_stemmed(x) for x in predicted]) if not _is_present(x, words)]
        w = [x for x in _unique([_stemmed(x) for x in wanted]) if not _is_present(x, words)]
        if not w:
            continue
        hits = sum(x in w for x in p[:5])
        precisions.append(hits / 5)
        recalls.append(hits / min(5, len(w)))
    ours = _ours(corpus, "simckp", Metric("", "absent", 5, "f1"))
    if not precisions:
        assert np.isnan(ours)
        return
    mean_p, mean_r = sum(precisions) / len(precisions), sum(recalls) / len(recalls)
    assert ours == pytest.approx(2 * mean_p * mean_r / (mean_p + mean_r) if mean_p + mean_r else 0.0)


@pytest.mark.parametrize("name", sorted(PRESETS))
@settings(max_examples=25)
@given(corpus=CORPUS)
def test_every_metric_stays_between_zero_and_one(corpus, name):
    for at in (5, "M", "O", "G"):
        for measure in ("f1", "precision", "recall"):
            number = _ours(corpus, name, Metric("", "all", at, measure))
            assert 0 <= number <= 1
