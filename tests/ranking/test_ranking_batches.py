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
