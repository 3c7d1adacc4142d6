"""Keyphrases of documents end to end over a real archive, and over archives that are hardly any."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from keyphrase_worlds import build_suggester, journal, nobody, record, table

from kartoteka.documents import KEYPHRASES_SCHEMA
from kartoteka.keyphrases.phrases import clean
from kartoteka.keyphrases.ranker import Ranker
from kartoteka.keyphrases.settings import KeyphraseSettings
from kartoteka.keyphrases.suggest import Suggester
from kartoteka.keyphrases.train import Training, is_training, train
from kartoteka.keyphrases.twins import find_twins
from kartoteka.text.words import phrase_key

SETTINGS = KeyphraseSettings(neighbours=20, rounds=40, folds=2)


@pytest.fixture(scope="module")
def records() -> list[dict]:
    return journal("en")


@pytest.fixture(scope="module")
def suggester(records: list[dict], tmp_path_factory: pytest.TempPathFactory) -> Suggester:
    return build_suggester(records, tmp_path_factory.mktemp("world"), SETTINGS)


@pytest.fixture(scope="module")
def training(suggester: Suggester, records: list[dict]) -> Training:
    return train(suggester, table(records), None, np.arange(len(records)))


@pytest.fixture(scope="module")
def trained(suggester: Suggester, training: Training, tmp_path_factory: pytest.TempPathFactory) -> Suggester:
    path = tmp_path_factory.mktemp("ranker") / "ranker.npz"
    path.write_bytes(training.ranker.to_bytes())
    return replace(suggester, ranker=Ranker.open(path))


def f1_at_5(found: pa.Table, records: list[dict]) -> float:
    """Mean F1 of the first five, on our own keys."""
    total = 0.0
    for row, r in zip(found["keyphrases"].to_pylist(), records, strict=True):
        gold = {phrase_key(clean(k), r["lang"]) for k in r["keyphrases"]} - {""}
        hits = len({phrase_key(k["phrase"], r["lang"]) for k in row[:5]} & gold)
        total += 2 * hits / (min(5, len(row)) + len(gold)) if gold else 0.0
    return total / len(records)


def test_what_is_learned_beats_the_votes_on_documents_not_seen(training: Training, records: list[dict]) -> None:
    assert training.system == "ranker"
    ranked, votes = f1_at_5(training.held_out, records), f1_at_5(training.votes, records)
    assert ranked > votes + 0.04
    assert ranked > 0.2


def test_lists_that_end_where_f1_is_expected_to_be_best_have_a_better_one(
    suggester: Suggester, trained: Suggester, training: Training, records: list[dict]
) -> None:
    settings = SETTINGS.model_copy(update={"cut": "expected_f1"})
    again = train(replace(suggester, settings=settings), table(records), None, np.arange(len(records)))
    # What is fitted does not depend on where lists end.
    assert again.ranker.to_bytes() == training.ranker.to_bytes()
    column = again.held_out.schema.field("keyphrases")

    def shortened(most: int) -> pa.Table:
        rows = [row[:most] for row in training.held_out["keyphrases"].to_pylist()]
        return training.held_out.set_column(1, column, pa.array(rows, column.type))

    ours = f1_at_5(again.held_out, records)
    assert all(f1_at_5(shortened(most), records) < ours for most in range(1, 6))
    some, own = table(records[:20]), np.arange(20)
    online = replace(trained, settings=settings).suggest(some, None, own)
    for short, long in [
        *zip(again.held_out["keyphrases"].to_pylist(), training.held_out["keyphrases"].to_pylist(), strict=True),
        *zip(online["keyphrases"].to_pylist(), trained.suggest(some, None, own)["keyphrases"].to_pylist(), strict=True),
    ]:
        assert 1 <= len(short) <= SETTINGS.limit
        assert short == long[: len(short)]
    assert len({len(row) for row in online["keyphrases"].to_pylist()}) > 2


def test_every_keyphrase_says_why(trained: Suggester, records: list[dict]) -> None:
    own = np.arange(30)
    found = trained.suggest(table(records[:30]), None, own)
    assert found.schema == KEYPHRASES_SCHEMA
    assert found["id"].to_pylist() == [r["id"] for r in records[:30]]
    carried = {r["id"]: {phrase_key(clean(k), "en") for k in r["keyphrases"]} for r in records}
    for r, row in zip(records, found["keyphrases"].to_pylist(), strict=False):
        assert 5 <= len(row) <= SETTINGS.limit + 4 * SETTINGS.per_category
        for k in row:
            assert 0 <= k["score"] <= 1
            assert k["origins"]
            assert ("neighbour" in k["origins"]) == bool(k["neighbours"])
            assert r["id"] not in k["neighbours"]
            assert len(set(k["neighbours"])) == len(k["neighbours"]) <= 5
            assert all(phrase_key(k["phrase"], "en") in carried[number] for number in k["neighbours"])
            assert k["category"] == "present" or "extracted" not in k["origins"]


def test_a_document_gets_the_same_alone_and_among_others(trained: Suggester, records: list[dict]) -> None:
    some, own = records[:12], np.where(np.arange(12) % 2, np.arange(12), -1)
    together = trained.suggest(table(some), None, own)
    backwards = trained.suggest(table(some[::-1]), None, own[::-1])
    assert together.to_pylist() == backwards.to_pylist()[::-1]
    for i, r in enumerate(some):
        assert trained.suggest(table([r]), None, own[i : i + 1]).to_pylist() == together.slice(i, 1).to_pylist()


def test_training_again_gives_the_same_ranker(suggester: Suggester, records: list[dict], training: Training) -> None:
    again = train(suggester, table(records), None, np.arange(len(records)))
    assert again.ranker.to_bytes() == training.ranker.to_bytes()
    assert again.held_out.equals(training.held_out)


def test_the_votes_rule_puts_present_phrases_first(trained: Suggester, records: list[dict]) -> None:
    votes = replace(trained, settings=KeyphraseSettings(method="votes", per_category=0))
    for row in votes.suggest(table(records[:20]), None, np.arange(20))["keyphrases"].to_pylist():
        present = [k["category"] == "present" for k in row if k["score"] > 0]
        assert present == sorted(present, reverse=True)


def test_a_ranker_of_other_columns_is_not_asked(trained: Suggester, records: list[dict]) -> None:
    other = replace(trained, ranker=replace(trained.ranker, names=("one",)))
    plain = replace(trained, ranker=None)
    assert other.suggest(table(records[:3]), None, nobody(3)) == plain.suggest(table(records[:3]), None, nobody(3))


@pytest.mark.parametrize(
    "records",
    [
        [],
        [record(0, "Robots", "Robots walk.", ["robots", "x" * 10_000, "!"])],
        [record(i, f"Robot {i}", "Robots walk over ice.", ["robots"]) for i in range(90)],
        [record(i, f"Robot {i}", "Robots walk over ice.", ["!"]) for i in range(70)],
    ],
    ids=["none", "one", "all alike", "no words"],
)
def test_archives_with_nothing_to_learn_still_give_keyphrases(records: list[dict], tmp_path: Path) -> None:
    world = build_suggester(records, tmp_path)
    trained = train(world, table(records), None, np.arange(len(records)))
    new = record(0, "Deep sea robots", "We build robots for the deep sea and test deep sea robots in ice.", [])
    found = replace(world, ranker=trained.ranker).suggest(table([new]), None, nobody(1))
    if trained.ranker is None:
        asked = world.settings.model_copy(update={"cut": "expected_f1"})
        assert replace(world, settings=asked).suggest(table([new]), None, nobody(1)).equals(found)
    phrases = [k["phrase"].lower() for k in found["keyphrases"][0].as_py()]
    assert "deep sea robots" in phrases or "deep sea" in phrases
    assert all(0 <= k["score"] <= 1 for k in found["keyphrases"][0].as_py())


@pytest.mark.parametrize(("method", "system"), [("ranker", "prior"), ("votes", "votes")])
def test_what_ranks_without_a_ranker_is_what_was_measured(tmp_path: Path, method: str, system: str) -> None:
    own = np.arange(30)
    few = [record(i, f"Robot {i}", "Robots walk over the ice.", ["robots", f"gait {i % 9}", f"ice {i}"]) for i in own]
    world = build_suggester(few, tmp_path, KeyphraseSettings(method=method))
    trained = train(world, table(few), None, own)
    assert (trained.system, trained.ranker) == (system, None)
    assert trained.held_out.equals(world.suggest(table(few), None, own))
    votes = replace(world, settings=KeyphraseSettings(method="votes"))
    assert trained.votes.equals(votes.suggest(table(few), None, own))


def test_no_documents_give_no_rows(trained: Suggester) -> None:
    assert trained.suggest(table([]), None, nobody(0)).equals(KEYPHRASES_SCHEMA.empty_table())


def test_training_documents_are_chosen_by_their_ids_alone() -> None:
    ids = [f"doc:{i}" for i in range(4000)]
    chosen = is_training(ids, 4000, KeyphraseSettings(training_documents=1000))
    assert 880 < chosen.sum() < 1120
    parts = [is_training(part, 4000, KeyphraseSettings(training_documents=1000)) for part in (ids[:7], ids[7:])]
    np.testing.assert_array_equal(np.concatenate(parts), chosen)
    assert is_training(ids, 900, KeyphraseSettings(training_documents=1000)).all()


def test_twins_are_found_and_what_they_carry_is_not_known(tmp_path: Path) -> None:
    lists = [[f"rare {word} {i}" for word in ("gait", "leg", "arm")] for i in range(40)]
    texts = [record(i, f"Robot number {i}", "It walks.", lists[i]) for i in range(40)]
    doubles = [record(100 + i, f"Roboter Nummer {i}", "Er geht.", lists[i], "de") for i in range(10)]
    world = build_suggester(texts + doubles, tmp_path)
    own = np.arange(40)
    twins = find_twins(world.archive, own)
    assert [twins.numbers[twins.offsets[d] : twins.offsets[d + 1]].tolist() for d in (0, 9, 10)] == [
        [0, 40], [9, 49], [10],
    ]  # fmt: skip
    pool = world.candidates(table(texts), None, own, twins).pool
    for d in own:
        numbers = world.archive.phrases_of(d)
        assert not np.isin(pool.phrase[pool.offsets[d] : pool.offsets[d + 1]], numbers).any()
