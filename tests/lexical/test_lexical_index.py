"""Sharded search against bm25s itself over one index, bit for bit."""

from __future__ import annotations

import itertools

import bm25s
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kartoteka.lexical.index import ShardedIndex
from kartoteka.lexical.settings import LexicalSettings
from kartoteka.lexical.shard import build_shard
from kartoteka.lexical.statistics import count_part, merge


def build(parts: list[list[list[str]]], folder, options: LexicalSettings | None = None) -> ShardedIndex:
    statistics = merge(count_part(part) for part in parts)
    for number, part in enumerate(parts):
        build_shard(part, statistics, folder / f"shard-{number:05d}", options)
    return ShardedIndex.open(folder, options)


def oracle(documents: list[list[str]], queries: list[list[str]], k: int, exclude=None, allowed=None, **parameters):
    """What one bm25s index scores, sorted by score, then number; documents of score 0 are no results."""
    numbers = np.full((len(queries), k), -1, np.int64)
    scores = np.zeros((len(queries), k), np.float32)
    if not any(documents):
        return numbers, scores
    model = bm25s.BM25(method="lucene", **parameters)
    model.index(documents, show_progress=False, create_empty_token=False)
    for q, query in enumerate(queries):
        every = model.get_scores(query) if query else np.zeros(len(documents), np.float32)
        if exclude is not None and exclude[q] >= 0:
            every[exclude[q]] = 0
        if allowed is not None:
            every[~allowed] = 0
        order = np.lexsort((np.arange(len(documents)), -every))[:k]
        order = order[every[order] > 0]
        numbers[q, : len(order)] = order
        scores[q, : len(order)] = every[order]
    return numbers, scores


def assert_same(found, expected) -> None:
    np.testing.assert_array_equal(found[1].view(np.int32), expected[1].view(np.int32))
    np.testing.assert_array_equal(found[0], expected[0])


def random_documents(seed: int, documents: int, terms: int, length: int) -> list[list[str]]:
    """Documents whose words follow a power law, as words do."""
    rng = np.random.default_rng(seed)
    share = 1 / np.arange(1, terms + 1)
    words = rng.choice(terms, size=(documents, length), p=share / share.sum())
    lengths = rng.integers(0, length + 1, documents)
    return [[f"w{word}" for word in row[:n]] for row, n in zip(words, lengths, strict=True)]


WORDS = st.sampled_from(["a", "b", "c", "d", "e", "éa", "слово", "слова", "字", ""])
DOCUMENT = st.lists(WORDS, max_size=12)


@settings(max_examples=25, deadline=None)
@given(
    parts=st.lists(st.lists(DOCUMENT, max_size=6), min_size=1, max_size=4),
    queries=st.lists(st.lists(st.one_of(WORDS, st.just("unknown")), max_size=15), max_size=4),
    share=st.sampled_from([0.01, 0.4, 1.0]),
    seed=st.integers(0, 100),
)
def test_any_sharding_scores_as_one_bm25s_index(parts, queries, share, seed, tmp_path_factory) -> None:
    documents = [document for part in parts for document in part]
    exclude = np.random.default_rng(seed).integers(-1, max(len(documents), 1), len(queries))
    index = build(parts, tmp_path_factory.mktemp("lexical"), LexicalSettings(dense_share=share))
    for k in (1, 3, 8):
        assert_same(index.search(queries, k, exclude), oracle(documents, queries, k, exclude))


@pytest.mark.parametrize(("k1", "b"), [(1.5, 0.75), (0.9, 0.4), (0.0, 1.0)])
@pytest.mark.parametrize("sizes", [[20000], [9000, 0, 1, 10999]])
def test_whole_documents_as_queries(sizes, k1, b, tmp_path) -> None:
    documents = random_documents(1, sum(sizes), 3000, 60)
    ends = np.cumsum([0, *sizes])
    parts = [documents[a:z] for a, z in itertools.pairwise(ends)]
    index = build(parts, tmp_path, LexicalSettings(k1=k1, b=b))
    numbers = np.arange(0, 20000, 400)
    queries = [documents[number] for number in numbers]
    assert_same(index.search(queries, 50, numbers), oracle(documents, queries, 50, numbers, k1=k1, b=b))


@pytest.mark.parametrize("sizes", [[6000], [100, 0, 5900]])
@pytest.mark.parametrize("share", [0.0, 0.002, 0.03, 0.04, 0.5, 1.0])
def test_a_filter_finds_what_a_search_of_its_own_documents_would(sizes, share, tmp_path) -> None:
    documents = random_documents(7, sum(sizes), 400, 30)
    parts = [documents[a:z] for a, z in itertools.pairwise(np.cumsum([0, *sizes]))]
    index = build(parts, tmp_path)
    allowed = np.random.default_rng(8).random(len(documents)) < share
    numbers = np.arange(0, 6000, 150)
    queries = [*(documents[number] for number in numbers), ["unknown"], documents[0] * 3000]
    exclude = np.array([*numbers, -1, -1])
    expected = oracle(documents, queries, 20, exclude, allowed)
    assert_same(index.search(queries, 20, exclude, allowed), expected)
    assert_same(index.search(queries, 20, exclude, np.flatnonzero(allowed)), expected)
    for query in queries[::7]:
        sharing = [bool(set(document) & set(query)) for document in documents]
        assert index.count(query) == sum(sharing)
        assert index.count(query, allowed) == sum(np.array(sharing) & allowed)


def test_how_much_a_term_tells(tmp_path) -> None:
    documents = random_documents(9, 300, 100, 30)
    index = build([documents[:100], documents[100:]], tmp_path)
    terms = ["w3", "w0", "unknown", "w3"]
    df = [sum(term in document for document in documents) for term in terms]
    expected = [np.log(1 + (300 - d + 0.5) / (d + 0.5)) if d else 0 for d in df]
    np.testing.assert_allclose(index.idf(terms), expected, rtol=1e-6)
    assert index.idf([]).shape == (0,)


def test_equal_documents_are_ordered_by_number(tmp_path) -> None:
    documents = [["same", "words"]] * 9000  # more ties than the candidates' buffer holds
    index = build([documents[:4000], documents[4000:]], tmp_path)
    numbers, scores = index.search([["same"]], 20, np.array([3]))
    assert numbers[0].tolist() == [0, 1, 2, *range(4, 21)]
    assert len(set(scores[0].tolist())) == 1


def test_a_query_longer_than_the_integer_bounds_hold(tmp_path) -> None:
    documents = random_documents(2, 500, 200, 30)
    index = build([documents], tmp_path)
    queries = [documents[0] * 400, documents[1]]
    assert_same(index.search(queries, 10), oracle(documents, queries, 10))


def test_k_larger_than_the_index(tmp_path) -> None:
    documents = random_documents(3, 30, 20, 10)
    index = build([documents], tmp_path)
    assert_same(index.search(documents, 100), oracle(documents, documents, 100))


def test_queries_as_an_arrow_column(tmp_path) -> None:
    documents = random_documents(4, 200, 50, 20)
    index = build([documents], tmp_path)
    assert_same(index.search(pa.array(documents), 5), index.search(documents, 5))


def test_the_most_informative_terms_of_a_query(tmp_path) -> None:
    documents = random_documents(5, 300, 100, 30)
    statistics = merge([count_part(documents)])
    exact = build([documents[:100], documents[100:]], tmp_path)
    short = ShardedIndex.open(tmp_path, LexicalSettings(max_query_terms=3))
    df = dict(zip(statistics.terms.to_arrow().to_pylist(), statistics.df.tolist(), strict=True))
    queries = documents[:20]
    cut = []
    for query in queries:
        best = sorted(set(query), key=lambda term: (df[term], term.encode()))[:3]
        cut.append([term for term in query if term in best])
    assert_same(short.search(queries, 10), exact.search(cut, 10))
    found = (short.search(queries, len(documents))[0] >= 0).sum(axis=1)
    assert [short.count(query) for query in queries] == found.tolist()
    assert found.sum() < sum(exact.count(query) for query in queries)


def test_no_documents_at_all(tmp_path) -> None:
    index = build([[], []], tmp_path)
    numbers, scores = index.search([["a"], []], 3)
    assert numbers.tolist() == [[-1] * 3] * 2
    assert scores.tolist() == [[0] * 3] * 2
    assert index.search([], 3)[0].shape == (0, 3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"k": 0}, "k: 0"),
        ({"k": 2, "exclude": np.array([1, 2, 3])}, r"exclude: shape \(3,\)"),
        ({"k": 2, "allowed": np.ones(3, bool)}, r"allowed: a mask of shape \(3,\) for 2"),
        ({"k": 2, "allowed": np.array([1, 2])}, "allowed: 1 to 2 in an index of 2"),
    ],
)
def test_wrong_arguments(arguments, message, tmp_path) -> None:
    index = build([[["a"], ["b"]]], tmp_path)
    with pytest.raises(ValueError, match=message):
        index.search([["a"]], **arguments)


def test_a_missing_shard_is_refused(tmp_path) -> None:
    build([[["a"], ["b"]], [["c"]]], tmp_path)
    with pytest.raises(ValueError, match="hold 2 documents of 3"):
        ShardedIndex.open([tmp_path / "shard-00000"])
    with pytest.raises(ValueError, match="no shard in"):
        ShardedIndex.open(tmp_path / "shard-00000")


def test_shards_of_different_corpora_are_refused(tmp_path) -> None:
    build([[["a"], ["b"]]], tmp_path / "one")
    build([[["a"], ["b"], ["c"]]], tmp_path / "two")
    with pytest.raises(ValueError, match="another corpus"):
        ShardedIndex.open([tmp_path / "one" / "shard-00000", tmp_path / "two" / "shard-00000"])
