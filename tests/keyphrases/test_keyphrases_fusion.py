"""Reciprocal rank fusion against a dictionary of sums, and as a way of finding neighbours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from keyphrase_worlds import build_suggester, journal, table

from kartoteka.keyphrases.fusion import fuse
from kartoteka.keyphrases.neighbours import AnnotatedVectors, LeftOut, find_neighbours
from kartoteka.keyphrases.settings import KeyphraseSettings
from kartoteka.keyphrases.sources import Neighbours
from kartoteka.stages.analyse import stems_of
from kartoteka.vectors.choose import train
from kartoteka.vectors.index import ShardedVectors
from kartoteka.vectors.settings import VectorSettings
from kartoteka.vectors.shard import build_shard


def plain(rankings: list[list[int]], k: int) -> list[tuple[int, float]]:
    """The definition, document by document."""
    sums: dict[int, float] = {}
    for ranking in rankings:
        for rank, number in enumerate(ranking, start=1):
            sums[number] = sums.get(number, 0.0) + 1 / (60 + rank)
    return sorted(sums.items(), key=lambda item: (-item[1], item[0]))[:k]


def padded(rankings: list[list[int]], width: int) -> Neighbours:
    numbers = np.full((len(rankings), width), -1, np.int64)
    for row, ranking in zip(numbers, rankings, strict=True):
        row[: len(ranking)] = ranking
    return Neighbours(numbers, np.where(numbers >= 0, 1, 0).astype(np.float32))


RANKING = st.lists(st.integers(0, 12), unique=True, max_size=7)


@settings(deadline=None)
@given(st.integers(1, 3).flatmap(lambda n: st.lists(st.tuples(*[RANKING] * n), max_size=5)), st.integers(1, 9))
def test_the_fused_list_is_that_of_the_sums(queries: list[tuple[list[int], ...]], k: int) -> None:
    ways = len(queries[0]) if queries else 2
    found = fuse([padded([query[way] for query in queries], 7) for way in range(ways)], k)
    assert found.numbers.shape == found.scores.shape == (len(queries), k)
    for query, numbers, scores in zip(queries, found.numbers, found.scores, strict=True):
        expected = plain(list(query), k)
        assert numbers[: len(expected)].tolist() == [number for number, _ in expected]
        np.testing.assert_array_equal(scores[: len(expected)], np.float32([total for _, total in expected]))
        assert (numbers[len(expected) :] == -1).all()
        assert (scores[len(expected) :] == 0).all()


def test_what_both_lists_name_comes_before_what_one_names_first() -> None:
    found = fuse([padded([[1, 2, 3]], 3), padded([[4, 3, 2]], 3)], 4)
    assert found.numbers.tolist() == [[2, 3, 1, 4]]  # equal sums twice: the smaller number first


def test_neighbours_fused_are_those_of_the_two_lists(tmp_path: Path) -> None:
    records = journal("en")[:80]
    world = build_suggester(records, tmp_path)
    vectors = np.random.default_rng(3).normal(size=(80, 16)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    quantiser = train(vectors, 80, VectorSettings())
    build_shard(vectors, [r["id"] for r in records], quantiser, tmp_path / "vectors" / "shard-0000")
    dense = AnnotatedVectors(ShardedVectors.open(tmp_path / "vectors"))
    own = np.arange(80)
    left_out = LeftOut(np.arange(81) * 2, np.stack([own, (own + 1) % 80], axis=1).ravel())

    def ask(retrieval: str) -> list[Neighbours]:
        settings = KeyphraseSettings(retrieval=retrieval, neighbours=6)
        return find_neighbours(world.lexical, dense, stems_of(table(records)), vectors, own, left_out, settings)

    (fused,), apart = ask("fused"), ask("both")
    assert len(apart) == 2
    for d in own:
        expected = plain([[n for n in found.numbers[d].tolist() if n >= 0] for found in apart], 6)
        assert fused.numbers[d].tolist() == [number for number, _ in expected]
        assert not {d, (d + 1) % 80} & set(fused.numbers[d].tolist())


def test_without_vectors_the_words_alone_are_ranked(tmp_path: Path) -> None:
    records = journal("en")[:40]
    settings = KeyphraseSettings(retrieval="fused", neighbours=5)
    world = build_suggester(records, tmp_path, settings)
    own = np.arange(40)
    (fused,) = find_neighbours(world.lexical, None, stems_of(table(records)), None, own, LeftOut.itself(own), settings)
    numbers, _ = world.lexical.search(stems_of(table(records)), 5, own)
    np.testing.assert_array_equal(fused.numbers, numbers)
    assert (np.diff(fused.scores, axis=1) < 0).all()
    assert world.candidates(table(records[:3]), None, own[:3]).pool.votes.shape[1] == 1
