"""Terms, keyphrases and documents of clusters, beside counts by hand; and the tables."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kartoteka.clustering.describe import (
    WEIGHED,
    added,
    count_words,
    distinctive,
    heaviest,
    merge_forms,
    names,
    weigh_documents,
    weigh_phrases,
)
from kartoteka.clustering.kmeans import Sums
from kartoteka.clustering.purity import purity
from kartoteka.clustering.summary import SUMMARY_SCHEMA, on_map, summary_table, with_purity

TEXTS = [
    "Neural networks and a neural network",
    "Networks learn. Learning networks learn!",
    "Catalogues of libraries: a catalogue",
    "Библиотеки и каталоги, каталог библиотеки",
    "1984 is a a an of",
]
LANGS = ["en", "en", "en", "ru", "en"]
CLUSTERS = np.array([0, 0, 1, 1, 2])
WEIGHTS = st.lists(st.tuples(st.integers(0, 3), st.sampled_from("abcde"), st.integers(0, 4)), max_size=40)


def table_of(rows: list[tuple[int, str, float]]) -> pa.Table:
    columns = list(zip(*rows, strict=True)) or [(), (), ()]
    return pa.table([pa.array(c, t.type) for c, t in zip(columns, WEIGHED, strict=True)], schema=WEIGHED)


def test_words_are_counted_by_stem_and_cluster_without_stop_words_and_numbers() -> None:
    counts, forms = count_words(TEXTS, LANGS, CLUSTERS)
    found = {(row["cluster"], row["name"]): row["weight"] for row in counts.to_pylist()}
    assert found[0, "network"] == 4
    assert found[0, "learn"] == 3
    assert found[1, "catalogu"] == 2
    assert not [cluster for cluster, _ in found if cluster == 2]
    assert sum(found.values()) == sum(forms["count"].to_pylist()) == 16
    shown = {row["word"]: row["count"] for row in forms.to_pylist()}
    assert (shown["networks"], shown["network"], shown["библиотеки"]) == (3, 1, 2)


def test_distinctive_terms_are_those_of_the_published_formula() -> None:
    counts, forms = count_words(TEXTS, LANGS, CLUSTERS)
    words = 16
    terms = distinctive(counts, forms, words, 2, 3)
    totals = Counter()
    for row in counts.to_pylist():
        totals[row["name"]] += row["weight"]
    for cluster in (0, 1):
        expected = sorted(
            (row["weight"] * math.log(1 + words / 2 / totals[row["name"]])
             for row in counts.to_pylist() if row["cluster"] == cluster), reverse=True,
        )[:3]  # fmt: skip
        found = [row["weight"] for row in terms.to_pylist() if row["cluster"] == cluster]
        np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert names(terms, 3)[0][0] == "networks"  # as it most often stands, not its stem
    assert names(terms, 3)[2] == []


def test_a_word_of_every_cluster_describes_none() -> None:
    texts = ["study of networks networks", "study of libraries libraries", "study of reactors reactors"]
    counts, forms = count_words(texts, ["en"] * 3, np.arange(3))
    assert [found[0] for found in names(distinctive(counts, forms, 9, 3, 1), 3)] == [
        "networks",
        "libraries",
        "reactors",
    ]


@settings(deadline=None)
@given(WEIGHTS, st.integers(1, 4))
def test_the_heaviest_are_those_of_a_sort_by_hand(rows: list[tuple[int, str, int]], count: int) -> None:
    totals = Counter()
    for cluster, name, weight in rows:
        totals[cluster, name] += weight
    found = names(heaviest(added([table_of(rows[:7]), table_of(rows[7:])]), count), 4)
    for cluster in range(4):
        inside = sorted((-weight, name) for (c, name), weight in totals.items() if c == cluster)
        assert found[cluster] == [name for _, name in inside][:count]


def test_phrases_weigh_what_their_scores_add_up_to() -> None:
    keyphrases = pa.chunked_array(
        [
            pa.array([[{"phrase": "x", "score": 0.5}, {"phrase": "y", "score": 0.25}], []]),
            pa.array([[{"phrase": "x", "score": 0.25}]]),
        ]
    )
    found = weigh_phrases(keyphrases, np.array([4, 4, 4])).to_pylist()
    assert {row["name"]: row["weight"] for row in found} == {"x": 0.75, "y": 0.25}
    assert {row["cluster"] for row in found} == {4}


def test_the_nearest_documents_come_first() -> None:
    ids = pa.chunked_array([pa.array(["a", "b"]), pa.array(["c", "d"])])
    table = weigh_documents(ids, np.array([0, 0, 1, 0]), np.array([0.5, 0.25, 0.1, 0.25], np.float32))
    assert names(heaviest(table, 2), 2) == [["b", "d"], ["c"]]


def test_forms_of_parts_are_added_up() -> None:
    _, forms = count_words(TEXTS, LANGS, CLUSTERS)
    twice = merge_forms([forms, forms]).to_pylist()
    assert {(r["stem"], r["word"]): r["count"] for r in twice} == {
        (r["stem"], r["word"]): 2 * r["count"] for r in forms.to_pylist()
    }


def test_a_summary_of_an_empty_cluster_has_no_distance() -> None:
    sums = Sums(np.array([4, 0]), np.zeros((2, 3)), np.array([1.0, 0.0]))
    table = summary_table(sums, np.zeros((2, 3), np.float32), [["t"], []], [["k"], []], [["d"], []])
    assert table.schema.equals(SUMMARY_SCHEMA)
    assert table["distance"].to_pylist() == [0.5, None]
    assert table["inertia"].to_pylist() == [1.0, 0.0]
    assert table["purity"].to_pylist() == [None, None]


def test_labels_give_a_summary_its_purity() -> None:
    sums = Sums(np.array([4, 1, 0]), np.zeros((3, 2)), np.zeros(3))
    table = summary_table(sums, np.zeros((3, 2), np.float32), [[]] * 3, [[]] * 3, [[]] * 3)
    probabilities = np.array([[0.9, 0.1], [0.75, 0.25], [0.5, 0.5], [0.25, 0.75], [0.0, 1.0]])
    labelled = with_purity(table, purity(np.array([0, 0, 0, 0, 1]), probabilities, 3), ["bad", "good"])
    assert labelled.schema.equals(SUMMARY_SCHEMA)
    assert labelled["purity"].to_pylist() == [0.75, 1.0, None]
    assert labelled["dominant"].to_pylist() == ["bad", "good", None]


@pytest.mark.parametrize("k", [1, 2, 11, 12, 60])
def test_every_cluster_has_a_place_on_the_map_and_near_ones_are_neighbours(k: int) -> None:
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((k, 8)).astype(np.float32)
    centres[k // 2 :] += np.float32(9)
    place = on_map(centres)
    assert place.shape == (k, 2)
    assert np.isfinite(place).all()
    assert np.array_equal(place, on_map(centres))
    if k == 60:
        away = np.linalg.norm(place[:, None] - place, axis=2)
        np.fill_diagonal(away, np.inf)
        assert ((away.argmin(axis=1) >= 30) == (np.arange(60) >= 30)).all()


def test_one_dimension_is_enough_for_a_map() -> None:
    assert on_map(np.arange(20, dtype=np.float32)[:, None]).shape == (20, 2)
