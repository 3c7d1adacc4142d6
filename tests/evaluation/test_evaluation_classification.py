"""Labels against gold ones: scikit-learn's figures, exact tests, intervals that hold their value."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, confusion_matrix, precision_recall_fscore_support, silhouette_score

from kartoteka.evaluation import classification_tables
from kartoteka.evaluation.classification import GoldTexts, Labels, evaluate, mcnemar, samples
from kartoteka.evaluation.confusion import confusion, macro_f1
from kartoteka.evaluation.labels import read_labels
from kartoteka.evaluation.space import separation
from kartoteka.report.classification import build
from kartoteka.storage import Storage

CLASSES = ("negative", "neutral", "positive")


def gold_of(labels: np.ndarray) -> GoldTexts:
    n = len(labels)
    names = [f"t{i}" for i in range(n)]
    return GoldTexts(
        CLASSES, names, [f"<b>text {i}" for i in range(n)], [("bank", "news")[i % 2] for i in range(n)], labels
    )


def system(gold: np.ndarray, name: str, seed: int, right: float) -> Labels:
    rng = np.random.default_rng(seed)
    wanted = np.where(rng.random(len(gold)) < right, gold, rng.integers(0, 3, len(gold)))
    probabilities = rng.dirichlet([1, 1, 1], len(gold)) + np.eye(3)[wanted]
    return Labels(name, wanted, probabilities / 2)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 1000), n=st.integers(1, 60), classes=st.integers(1, 3))
def test_figures_are_scikit_learns(seed, n, classes):
    rng = np.random.default_rng(seed)
    gold, given_ = rng.integers(0, classes, n), rng.integers(0, classes, n)
    result = evaluate(gold_of(gold), [Labels("one", given_, None)], resamples=100).systems[0]
    assert np.array_equal(result.matrix, confusion_matrix(gold, given_, labels=[0, 1, 2]))
    wanted = precision_recall_fscore_support(gold, given_, labels=[0, 1, 2], zero_division=0)
    for name, column in zip(("precision", "recall", "f1", "texts"), wanted, strict=True):
        assert [row[name] for row in result.by_class] == pytest.approx(column.tolist())
    macro, accuracy = result.intervals
    assert macro.value == pytest.approx(wanted[2].mean())
    assert accuracy.value == pytest.approx(accuracy_score(gold, given_))
    assert macro.low <= macro.high
    assert macro.documents == n


def test_a_resample_is_the_macro_f1_of_the_texts_drawn():
    rng = np.random.default_rng(0)
    gold, given_ = rng.integers(0, 3, 50), rng.integers(0, 3, 50)
    metric = samples(gold_of(gold), given_)[0]
    weights = rng.integers(0, 4, (5, 50)).astype(float)
    for estimate, weight in zip(metric.estimate(weights @ metric.columns), weights.astype(int), strict=True):
        drawn = np.repeat(np.arange(50), weight)
        assert estimate == pytest.approx(float(macro_f1(confusion(gold[drawn], given_[drawn], 3))))


def test_mcnemar_is_the_exact_binomial():
    first = np.array([True] * 9 + [False] * 3 + [True] * 20)
    second = np.array([False] * 9 + [True] * 3 + [True] * 20)
    found = mcnemar(first, second)
    tail = sum(math.comb(12, k) for k in range(4)) / 2**12
    assert (found.only_first, found.only_second) == (9, 3)
    assert found.p == pytest.approx(2 * tail)
    assert mcnemar(first, first).p == 1.0


def test_two_systems_are_compared_by_text():
    gold = np.random.default_rng(1).integers(0, 3, 400)
    result = evaluate(gold_of(gold), [system(gold, "base", 2, 0.5), system(gold, "final", 3, 0.8)], resamples=500)
    macro = result.comparison[0]
    values = [s.intervals[0].value for s in result.systems]
    assert macro.difference == pytest.approx(values[1] - values[0])
    assert 0 < macro.low < macro.difference < macro.high
    assert result.mcnemar.p < 0.001
    same = evaluate(gold_of(gold), [system(gold, "a", 2, 0.5), system(gold, "b", 2, 0.5)], resamples=200)
    assert (same.comparison[0].difference, same.comparison[0].p, same.mcnemar.p) == (0, 1, 1)


def test_sources_calibration_and_errors():
    gold = np.random.default_rng(1).integers(0, 3, 200)
    found = evaluate(gold_of(gold), [system(gold, "one", 2, 0.7)], resamples=100, errors=7).systems[0]
    for number, name in enumerate(("bank", "news")):
        texts, f1, accuracy = found.by_source[name]
        rows = np.arange(200) % 2 == number
        own = system(gold, "one", 2, 0.7).labels[rows]
        assert texts == 100
        assert accuracy == pytest.approx((own == gold[rows]).mean())
        assert f1 == pytest.approx(precision_recall_fscore_support(gold[rows], own, average="macro")[2])
    assert sum(b.count for b in found.calibration.equal_mass) == 200
    margins = [e.margin for e in found.errors]
    assert len(margins) == 7
    assert margins == sorted(margins)
    assert all(e.gold != e.given and e.margin >= 0 for e in found.errors)


def test_separation_is_that_of_its_definition():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 120)
    vectors = rng.normal(size=(120, 5)) + 2 * np.eye(5)[labels]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    found = separation(vectors, labels)
    assert found.silhouette == pytest.approx(silhouette_score(vectors, labels, metric="cosine"))
    assert found.within + found.between == pytest.approx(vectors.var(axis=0).sum())
    shuffled = separation(vectors, rng.permutation(labels))
    assert found.ratio > 5 * shuffled.ratio
    with pytest.raises(ValueError, match="nothing to set apart"):
        separation(vectors, np.zeros(120, int))


def test_predictions_are_read_by_id(tmp_path):
    rows = [
        {"id": "b", "label": "positive", "negative": 0.1, "neutral": 0.2, "positive": 0.7},
        {"id": "a", "label": "neutral", "negative": 0.1, "neutral": 0.8, "positive": 0.1},
        {"id": "other", "label": "neutral", "negative": 0.0, "neutral": 1.0, "positive": 0.0},
    ]
    Storage(tmp_path).put_table("p.parquet", pa.Table.from_pylist(rows))
    file = tmp_path / "p.parquet"
    found = read_labels(file, ["a", "b"], CLASSES, "p")
    assert found.labels.tolist() == [1, 2]
    np.testing.assert_allclose(found.probabilities, [[0.1, 0.8, 0.1], [0.1, 0.2, 0.7]])
    bare = pa.Table.from_pylist([{"id": 1, "label": "neutral"}])
    Storage(tmp_path).put_table("bare.parquet", bare)
    assert read_labels(tmp_path / "bare.parquet", ["1"], CLASSES, "p").probabilities is None
    with pytest.raises(ValueError, match="p has none for 1 gold texts, `c` among them"):
        read_labels(file, ["a", "c"], CLASSES, "p")
    for change, message in (
        ({"label": "joy"}, r"label` is 'joy', none of negative"),
        ({"positive": 1.7}, "are no probabilities"),
        ({"id": "a"}, "'a' occurs twice"),
        ({"id": None}, "`id` is missing"),
    ):
        Storage(tmp_path).put_table("wrong.parquet", pa.Table.from_pylist([rows[1], rows[0] | change]))
        with pytest.raises(ValueError, match=message):
            read_labels(tmp_path / "wrong.parquet", ["a"], CLASSES, "p")


def test_tables_and_page_hold_all_of_it():
    gold = np.random.default_rng(1).integers(0, 3, 60)
    result = evaluate(gold_of(gold), [system(gold, "base", 2, 0.5), system(gold, "final", 3, 0.8)], resamples=100)
    spaces = {"final": separation(np.random.default_rng(0).normal(size=(60, 4)), gold)}
    made = list(classification_tables.tables(result, spaces))
    assert len(made) == 2 + 2 * 5 + 1
    assert all(len(row) == len(table.header) for table in made for row in table.rows)
    page = build(result, spaces)
    assert page.count("<svg") == 2
    assert "&lt;b&gt;text" in page
    assert "<b>text" not in page
    assert f"({result.systems[0].matrix[0, 1]})" in page
