"""Corpus statistics: merged in any grouping, they are those of the whole."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kartoteka.lexical.statistics import CorpusStatistics, PartStatistics, combine, count_part, merge
from kartoteka.lexical.terms import Terms, encode_tokens

DOCUMENTS = st.lists(st.lists(st.text(max_size=4), max_size=8), max_size=8)


def as_values(statistics: PartStatistics) -> tuple:
    terms = statistics.terms.to_arrow().to_pylist()
    return statistics.documents, statistics.length, terms, statistics.df.tolist()


@settings(max_examples=100, deadline=None)
@given(DOCUMENTS)
def test_counts_are_those_of_counting(documents) -> None:
    df = Counter(term for document in documents for term in set(document))
    terms = sorted(df, key=lambda term: term.encode())
    length = sum(map(len, documents))
    assert as_values(count_part(documents)) == (len(documents), length, terms, [df[term] for term in terms])


@settings(max_examples=60, deadline=None)
@given(st.lists(DOCUMENTS, max_size=6), st.randoms())
def test_any_grouping_and_order_of_parts_merge_to_the_whole(parts, random) -> None:
    whole = as_values(count_part([document for part in parts for document in part]))
    counted = [count_part(part) for part in parts]
    random.shuffle(counted)
    assert as_values(merge(counted)) == whole
    while len(counted) > 1:
        a, b = counted.pop(random.randrange(len(counted))), counted.pop(random.randrange(len(counted)))
        counted.append(combine(a, b))
    if counted:
        assert as_values(counted[0]) == whole


def test_an_arrow_column_counts_as_lists_do() -> None:
    documents = [["б", "a", "a"], [], ["a"]]
    column = pa.chunked_array([pa.array(documents[:2]), pa.array(documents[2:], pa.list_(pa.string()))])
    assert as_values(count_part(column)) == as_values(count_part(documents)) == (3, 4, ["a", "б"], [2, 1])
    assert as_values(count_part(pa.array(documents)[1:])) == (2, 1, ["a"], [1])


def test_idf_is_lucenes_and_zero_for_an_unknown_term() -> None:
    statistics = merge([count_part([["a", "b"], ["a"], []])])
    terms = Terms.from_arrow(pa.array(["a", "b", "z"], pa.large_string()))
    expected = [math.log(1 + 1.5 / 2.5), math.log(1 + 2.5 / 1.5), 0]
    np.testing.assert_array_equal(statistics.idf(terms), np.array(expected, np.float32))
    assert statistics.average_length == 1


def test_find_in_a_large_vocabulary() -> None:
    words = [f"слово{number}" for number in range(5000)]
    vocabulary = encode_tokens([words]).vocabulary
    order = sorted(words, key=lambda word: word.encode())
    wanted = encode_tokens([["слово", "слово4999", "слово0", "x"]])
    found = vocabulary.find(wanted.vocabulary)
    expected = {"слово": -1, "слово4999": order.index("слово4999"), "слово0": order.index("слово0"), "x": -1}
    assert dict(zip(wanted.vocabulary.to_arrow().to_pylist(), found.tolist(), strict=True)) == expected


def test_saved_and_loaded(tmp_path) -> None:
    statistics = merge([count_part([["a", "é"], ["a"]])])
    statistics.save(tmp_path / "statistics.arrow")
    again = tmp_path / "again.arrow"
    statistics.save(again)
    assert again.read_bytes() == (tmp_path / "statistics.arrow").read_bytes()
    loaded = CorpusStatistics.load(again)
    assert as_values(loaded) == as_values(statistics)
    assert loaded.idf(statistics.terms).tolist() == statistics.idf(statistics.terms).tolist()


def test_a_part_survives_parquet(tmp_path) -> None:
    for part in (count_part([["a", "é"], ["a"]]), count_part([])):
        pq.write_table(part.to_table(), tmp_path / "part.parquet")
        read = PartStatistics.from_table(pq.read_table(tmp_path / "part.parquet"))
        assert as_values(read) == as_values(part)


def test_files_that_are_not_statistics_are_named(tmp_path) -> None:
    path = tmp_path / "statistics.arrow"
    with pytest.raises(ValueError, match=r"statistics\.arrow"):
        CorpusStatistics.load(path)
    merge([count_part([["a"]])]).save(path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ValueError, match=r"statistics\.arrow"):
        CorpusStatistics.load(path)
    with pytest.raises(ValueError, match="not a table of term statistics"):
        PartStatistics.from_table(pa.table({"term": ["a"]}))
