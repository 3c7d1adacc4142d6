"""What is believed, against a loop by hand; gold labels stay."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sentiment.sentiment_worlds import opinion

from kartoteka.sentiment.opinions import together
from kartoteka.sentiment.pseudolabels import SCHEMA, PseudolabelSettings, pseudolabel, surest
from kartoteka.sentiment.texts import CLASSES, Texts


def world(n: int = 200) -> tuple[Texts, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    clusters = rng.integers(0, 8, n).astype(np.int32)
    gold = np.where(rng.random(n) < 0.2, rng.integers(0, 3, n), -1)
    logits = rng.normal(size=(n, 3)) + 4 * np.eye(3)[clusters % 3] * (clusters < 5)[:, None]
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    rows = [opinion(i) for i in range(n)]
    texts = Texts(
        [row["id"] for row in rows],
        [row["text"] for row in rows],
        gold.tolist(),
        [r["source"] for r in rows],
        [False] * n,
    )
    return texts, probabilities, clusters


@pytest.mark.parametrize("soft", [False, True])
def test_labels_purity_and_reliability_are_those_of_a_loop(soft):
    texts, probabilities, clusters = world()
    settings = PseudolabelSettings(purity=0.7, probability=0.6, soft=soft, largest_share=1)
    table, _ = pseudolabel(texts, probabilities, clusters, 8, settings)
    assert table.schema == SCHEMA
    seen = [np.eye(3)[g] if g >= 0 else p for g, p in zip(texts.labels, probabilities, strict=True)]
    for row, gold, own, cluster in zip(table.to_pylist(), texts.labels, probabilities, clusters, strict=True):
        inside = [s for s, c in zip(seen, clusters, strict=True) if c == cluster]
        counts = [sum(int(s.argmax()) == k for s in inside) for k in range(3)]
        dominant = int(np.argmax(counts))
        pure = np.mean([s[dominant] for s in inside]) if soft else counts[dominant] / len(inside)
        label = gold if gold >= 0 else int(own.argmax())
        assert row["label"] == CLASSES[label]
        assert row["gold"] == (gold >= 0)
        assert row["probability"] == pytest.approx(own[label], rel=1e-5)
        assert (row["dominant"], row["cluster"]) == (CLASSES[dominant], cluster)
        assert row["purity"] == pytest.approx(pure, rel=1e-5)
        if gold < 0:
            assert row["reliable"] == (label == dominant and pure >= 0.7 and own[label] >= 0.6)


def test_the_table_counts_unlabelled_texts_by_class_and_source():
    texts, probabilities, clusters = world()
    settings = PseudolabelSettings(purity=0.7, probability=0.6, largest_share=1)
    table, passing = pseudolabel(texts, probabilities, clusters, 8, settings)
    assert {row["purity"] for row in passing} == {0.7, 0.8, 0.9, 0.95}
    assert {row["probability"] for row in passing} == {0.6, 0.7, 0.8, 0.9}
    rows = [row for row in table.to_pylist() if not row["gold"]]
    for line in passing:
        if (line["purity"], line["probability"]) == (0.7, 0.6):
            mine = [r for r in rows if (r["source"], r["label"]) == (line["source"], line["class"])]
            assert line["texts"] == len(mine)
            assert line["hard"] == sum(r["reliable"] for r in mine)
    assert sum(line["hard"] for line in passing if (line["purity"], line["probability"]) == (0.7, 0.6)) == sum(
        r["reliable"] for r in rows
    )


@pytest.mark.parametrize(
    ("largest", "kept"),
    [(0.5, [0, 1, 2, 4, 5, 8]), (0.7, [0, 1, 2, 4, 5, 6, 7, 8, 9]), (1.0, [0, 1, 2, 4, 5, 6, 7, 8, 9])],
)
def test_of_a_class_that_crowds_out_the_others_the_surest_are_believed(largest, kept):
    label = np.array([0, 2, 1, 1, 1, 1, 1, 1, 0, 1])
    sure = np.array([0.5, 0.4, 0.9, 0.99, 0.8, 0.95, 0.7, 0.6, 0.3, 0.75])
    chosen = np.arange(10) != 3
    assert np.flatnonzero(surest(chosen, label, sure, largest)).tolist() == kept


def test_texts_of_one_class_alone_are_believed_only_if_that_may_be():
    label, sure, all_of_them = np.ones(4, int), np.linspace(0, 1, 4), np.ones(4, bool)
    assert not surest(all_of_them, label, sure, 0.9).any()
    assert surest(all_of_them, label, sure, 1.0).all()
    assert not surest(~all_of_them, label, sure, 0.5).any()


def test_gold_labels_are_not_counted_among_the_believed_of_a_class():
    texts, probabilities, clusters = world()
    table, _ = pseudolabel(texts, probabilities, clusters, 8, PseudolabelSettings(purity=0, probability=0))
    rows = table.to_pylist()
    believed = [row["label"] for row in rows if row["reliable"] and not row["gold"]]
    assert max(map(believed.count, CLASSES)) <= len(believed) / 2
    everything, _ = pseudolabel(
        texts, probabilities, clusters, 8, PseudolabelSettings(purity=0, probability=0, largest_share=1)
    )
    assert [r["reliable"] for r in rows if r["gold"]] == [r["reliable"] for r in everything.to_pylist() if r["gold"]]


def test_what_a_second_classifier_does_not_say_too_is_not_believed():
    texts, probabilities, clusters = world()
    other = np.random.default_rng(1).dirichlet(np.ones(3), len(texts))
    shares, agreed = together(probabilities, other)
    for one, two, both, same in zip(probabilities, other, shares, agreed, strict=True):
        mean = [math.sqrt(a * b) for a, b in zip(one, two, strict=True)]
        assert both == pytest.approx([m / sum(mean) for m in mean], rel=1e-4)
        assert same == (one.argmax() == two.argmax())
    settings = PseudolabelSettings(purity=0, probability=0, largest_share=1)
    table, passing = pseudolabel(texts, shares, clusters, 8, settings, agreed)
    free, _ = pseudolabel(texts, shares, clusters, 8, settings)
    for row, alone, same in zip(table.to_pylist(), free.to_pylist(), agreed, strict=True):
        assert row["reliable"] == (alone["reliable"] and (bool(same) or row["gold"]))
        assert row["agreed"] == same
        assert [row[name] for name in CLASSES] == [alone[name] for name in CLASSES]
    gold = np.array(texts.labels) >= 0
    assert sum(r["texts"] for r in passing if (r["purity"], r["probability"]) == (0, 0)) == (agreed & ~gold).sum()


def test_thresholds_are_shares():
    with pytest.raises(ValueError, match="`purity`"):
        PseudolabelSettings.parse({"purity": 1.5})
    with pytest.raises(ValueError, match="unknown key `least`"):
        PseudolabelSettings.parse({"least": 0.5})
