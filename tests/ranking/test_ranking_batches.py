from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from ranking_arrays import ROWS, teacher

from kartoteka.ragged import pick
from kartoteka.ranking.batches import collate, draw_negatives
from kartoteka.ranking.data import PairArrays
from kartoteka.ranking.settings import RankerSettings
from kartoteka.training.task import Share


def list_of(batch: dict[str, np.ndarray], text: int) -> list:
    """First token, last token and labels of each word of a text."""
    start, stop = batch["word_offsets"][text : text + 2]
    fields = (batch[f"word_{name}"][start:stop].tolist() for name in ("first", "last", "labels"))
    return list(zip(*fields, strict=True))


@pytest.mark.parametrize("world", [1, 2, 3, 9])
def test_the_parts_of_all_workers_are_the_whole_batch(arrays: PairArrays, world: int) -> None:
    settings = RankerSettings(negatives=2)
    whole = collate(arrays, None, ROWS, Share(0, 1, 5, step=3), settings)
    parts = [collate(arrays, None, ROWS, Share(rank, world, 5, step=3), settings) for rank in range(world)]
    n, m, pairs = whole["total"]
    assert n == len(ROWS)
    assert pairs == len(whole["positives"])
    assert all((part["total"] == whole["total"]).all() for part in parts)

    def texts(batch):
        return [tuple(batch["ids"][a:b]) for a, b in zip(batch["offsets"][:-1], batch["offsets"][1:], strict=True)]

    documents, candidates = texts(whole)[:n], texts(whole)[n:]
    assert len(candidates) == m
    for rank, part in enumerate(parts):
        count = int(part["documents"][0])
        assert texts(part)[:count] == documents[rank::world]
        assert texts(part)[count:] == candidates[rank::world]
        words = [list_of(part, place) for place in range(len(part["offsets"]) - 1)]
        assert words == [*(list_of(whole, place) for place in range(n)[rank::world]), *([] for _ in words[count:])]
        for place, number in enumerate(range(rank, n, world)):
            mine = part["positives"][part["positive_offsets"][place] : part["positive_offsets"][place + 1]]
            right = whole["positives"][whole["positive_offsets"][number] : whole["positive_offsets"][number + 1]]
            np.testing.assert_array_equal(mine, right)


def test_positives_name_the_phrases_of_the_document(arrays: PairArrays) -> None:
    batch = collate(arrays, None, ROWS, Share(0, 1, 0), RankerSettings(negatives=3))
    tokens = [tuple(batch["ids"][a:b]) for a, b in zip(batch["offsets"][:-1], batch["offsets"][1:], strict=True)]
    candidates = tokens[len(ROWS) :]
    assert len(set(candidates)) == len(candidates)  # each phrase once, however many documents carry it
    for place, row in enumerate(ROWS):
        own = arrays.positives[arrays.positive_offsets[row] : arrays.positive_offsets[row + 1]]
        found = batch["positives"][batch["positive_offsets"][place] : batch["positive_offsets"][place + 1]]
        phrases, offsets = pick(arrays.phrase_tokens, arrays.phrase_offsets, own)
        assert [candidates[i] for i in found] == [tuple(phrases[a:b]) for a, b in pairwise(offsets)]


def test_words_are_those_of_the_documents(arrays: PairArrays) -> None:
    batch = collate(arrays, None, ROWS, Share(0, 1, 0), RankerSettings())
    for place, row in enumerate(ROWS):
        start, stop = arrays.words.offsets[row : row + 2]
        fields = (values[start:stop].tolist() for values in arrays.words[:3])
        assert list_of(batch, place) == list(zip(*fields, strict=True))
    assert not any(name.startswith("word") for name in batch_without_words(arrays))


def batch_without_words(arrays: PairArrays) -> dict[str, np.ndarray]:
    return collate(arrays._replace(words=None), None, ROWS, Share(0, 1, 0), RankerSettings(span_weight=0.0))


def test_without_a_loss_of_vectors_there_are_no_candidates(arrays: PairArrays) -> None:
    batch = collate(arrays, teacher(), ROWS, Share(0, 1, 0), RankerSettings(ranking_weight=0.0, distil_weight=1.0))
    assert len(batch["offsets"]) - 1 == len(ROWS) == batch["documents"][0] == len(batch["teacher"])
    assert batch["total"].tolist() == [len(ROWS), 0, 0]
    assert not len(batch["positives"])


def test_negatives_are_drawn_from_the_pool_anew_each_step(arrays: PairArrays) -> None:
    draws = []
    for step in (0, 1):
        for row in ROWS.tolist():
            pool = set(arrays.pool[arrays.pool_offsets[row] : arrays.pool_offsets[row + 1]].tolist())
            drawn = draw_negatives(arrays, np.array([row]), Share(0, 1, 0, step), 3).tolist()
            assert len(set(drawn)) == len(drawn) == min(3, len(pool))
            assert set(drawn) <= pool
        draws.append(draw_negatives(arrays, ROWS, Share(0, 1, 0, step), 3).tolist())
    assert draws[0] != draws[1]
    assert draw_negatives(arrays, ROWS, Share(1, 2, 0, 1), 3).tolist() == draws[1]
    assert not draw_negatives(arrays, ROWS, Share(0, 1, 0), 0).size


def test_what_is_distilled_fades(arrays: PairArrays) -> None:
    settings = RankerSettings(distil_weight=2.0, distil_steps=10)
    batches = [collate(arrays, teacher(), ROWS, Share(0, 2, 0, step), settings) for step in (0, 5, 10, 11)]
    assert [float(batch["distil"][0]) for batch in batches] == [2.0, 1.0, 0.0, 0.0]
    texts = [len(batch["offsets"]) - 1 for batch in batches]
    assert [len(batch["teacher"]) for batch in batches] == [*texts[:2], 0, 0]
    arrays_of = teacher()
    first = arrays_of.document_codes[ROWS[0]] * arrays_of.document_scale[ROWS[0]]
    np.testing.assert_allclose(batches[0]["teacher"][0], first, rtol=1e-6)


@pytest.mark.parametrize("separator", ["", "x", " y", "1 "])
def test_a_separator_that_joins_words_is_refused(separator: str) -> None:
    with pytest.raises(ValueError, match="separator"):
        RankerSettings(separator=separator)
