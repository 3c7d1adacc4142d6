"""Candidates and their features: votes against a plain sum, and nothing that a document could know of itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from keyphrase_worlds import build_suggester, journal, nobody, record, table

from kartoteka.keyphrases.pool import COUNT, EXTRACTED, FREE_COUNT, NEIGHBOUR, SUM, TITLE_COUNT, VOCABULARY
from kartoteka.keyphrases.settings import KeyphraseSettings
from kartoteka.keyphrases.suggest import Candidates, Suggester
from kartoteka.text.words import content_stems

SETTINGS = KeyphraseSettings(neighbours=10)


@pytest.fixture(scope="module")
def records() -> list[dict]:
    return journal("en")[:150]


@pytest.fixture(scope="module")
def suggester(records: list[dict], tmp_path_factory: pytest.TempPathFactory) -> Suggester:
    return build_suggester(records, tmp_path_factory.mktemp("world"), SETTINGS)


def phrases_of(suggester: Suggester, found: Candidates, d: int) -> dict[str, int]:
    """Written form -> row, of document d."""
    rows = range(found.pool.offsets[d], found.pool.offsets[d + 1])
    surfaces = suggester.archive.surfaces
    return {
        surfaces[int(p)].as_py()
        if (p := found.pool.phrase[row]) >= 0
        else found.terms.phrases[found.pool.term[row]]: row
        for row in rows
    }


def test_votes_are_the_shares_of_the_neighbours_scores(suggester: Suggester, records: list[dict]) -> None:
    found = suggester.candidates(table(records[:20]), None, nobody(20))
    for d, r in enumerate(records[:20]):
        query = content_stems(f"{r['title']}\n{r['abstract']}", "en")
        numbers, scores = suggester.lexical.search([query], SETTINGS.neighbours, np.array([-1]))
        expected: dict[int, list[float]] = {}
        for number, score in zip(numbers[0], scores[0], strict=True):
            for p in suggester.archive.phrases_of(number) if number >= 0 else ():
                expected.setdefault(int(p), []).append(score)
        rows = slice(found.pool.offsets[d], found.pool.offsets[d + 1])
        for p, votes in zip(found.pool.phrase[rows], found.pool.votes[rows, 0], strict=True):
            given = expected.pop(int(p), [])
            assert votes[COUNT] == len(given)
            assert votes[SUM] == pytest.approx(sum(given) / scores[0].sum(), rel=1e-4)
        assert not expected


def test_an_annotated_document_sees_what_a_new_one_would(
    suggester: Suggester, records: list[dict], tmp_path: Path
) -> None:
    """The features of a document in the archive equal those it gets from an archive without it."""
    for out in (3, 77):
        without = build_suggester(records[:out] + records[out + 1 :], tmp_path / str(out), SETTINGS)
        # Neighbours' scores depend on the collection's statistics, which the index does not correct: compare the rest.
        inside = suggester.candidates(table([records[out]]), None, np.array([out]))
        outside = without.candidates(table([records[out]]), None, nobody(1))
        ours, theirs = phrases_of(suggester, inside, 0), phrases_of(without, outside, 0)
        by_text = VOCABULARY | EXTRACTED
        assert {p.casefold() for p, row in ours.items() if inside.pool.origin[row] & by_text} == {
            p.casefold() for p, row in theirs.items() if outside.pool.origin[row] & by_text
        }
        common = sorted(set(ours) & set(theirs))
        assert len(common) > 20
        checked = [
            name for name in inside.names if not name.endswith("_0") and name not in (
                "lift", "neighbour_size", "relative_vote", "pool_size",
            )
        ]  # fmt: skip
        columns = [inside.names.index(name) for name in checked]
        before = inside.rows[[ours[p] for p in common]][:, columns]
        after = outside.rows[[theirs[p] for p in common]][:, columns]
        # Counts above 8 are one less on every annotated document, carried or not: log(9 / 8) at most.
        np.testing.assert_allclose(before, after, atol=0.13)
        carried = inside.pool.own[[ours[p] for p in common]]
        same = np.isclose(before[carried], after[carried], atol=1e-5)
        # The form most used, under which a phrase's words are counted, may be another one without the document.
        assert same.mean() > 0.97


def test_a_phrase_that_only_the_document_carries_is_unknown_to_it(suggester: Suggester, records: list[dict]) -> None:
    arrays, checked = suggester.archive.arrays, 0
    own = np.arange(len(records))
    found = suggester.candidates(table(records), None, own)
    for d in own:
        pool = found.pool
        rows = np.arange(pool.offsets[d], pool.offsets[d + 1])
        alone = [p for p in suggester.archive.phrases_of(d) if arrays.df[p] == 1]
        checked += len(alone)
        assert not np.isin(pool.phrase[rows], alone).any()
        unknown = rows[pool.phrase[rows] < 0]
        assert (pool.origin[unknown] == EXTRACTED).all()
        assert (found.rows[unknown, found.names.index("df")] == 0).all()
        assert (pool.votes[unknown, 0, COUNT] == 0).all()
        for name in ("keyphraseness", "title_keyphraseness"):
            assert (found.rows[unknown, found.names.index(name)] == np.float32(np.log(0.1))).all()
        assert not np.isin(pool.carriers[rows], d).any()
    assert checked > 100
    assert found.pool.own[found.pool.phrase < 0].sum() > 20  # and yet training learns that they were right


def test_origins_and_places(tmp_path: Path) -> None:
    records = [
        record(0, "Gait of robots", "Robots walk on two legs.", ["gait", "bipedal robot"]),
        record(1, "Neural networks", "A neural network learns.", ["neural network", "learning"]),
        record(2, "Vision", "Cameras see.", ["computer vision", "network"]),
    ]
    world = build_suggester(records, tmp_path)
    text = record(9, "Robots that walk", "A neural network controls the gait of robots. The gait is new.", [])
    found = world.candidates(table([text]), None, nobody(1))
    rows = phrases_of(world, found, 0)
    origin, places = found.pool.origin, found.pool.text
    assert origin[rows["gait"]] & (NEIGHBOUR | VOCABULARY) == NEIGHBOUR | VOCABULARY
    assert origin[rows["bipedal robot"]] == NEIGHBOUR
    assert places[rows["gait"]].tolist()[:5] == [0, 2, 2, 8, 12]
    assert places[rows["network"], FREE_COUNT] == 0  # only inside `neural network`
    assert places[rows["neural network"], FREE_COUNT] == 1
    assert (places[:, TITLE_COUNT] > 0).any()
    assert "computer vision" not in rows


def test_features_have_no_missing_values(suggester: Suggester, records: list[dict]) -> None:
    odd = [record(0, "", "", []), record(1, "a", "", []), record(2, "", "слово " * 3000, [], "ru")]
    found = suggester.candidates(table(odd + records[:3]), None, nobody(6))
    assert found.rows.shape == (found.pool.offsets[-1], len(found.names))
    assert np.isfinite(found.rows).all()
    assert found.pool.offsets[1] == 0
