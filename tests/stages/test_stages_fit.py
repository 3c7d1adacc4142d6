"""What the manifest is told of quality: by what ranks, and whether its scores are probabilities."""

from __future__ import annotations

import pyarrow as pa
import pytest

from kartoteka.documents import KEYPHRASES_SCHEMA
from kartoteka.keyphrases.train import Training
from kartoteka.stages.fit import measure


def found(*lists: list[str]) -> pa.Table:
    """Keyphrases with scores, best first, of documents 0, 1 and so on."""
    rest = {"category": "present", "origins": ["extracted"], "neighbours": [], "concept": None}
    rows = [
        {"id": str(i), "keyphrases": [{"phrase": p, "score": 0.9 - 0.2 * n, **rest} for n, p in enumerate(phrases)]}
        for i, phrases in enumerate(lists)
    ]
    return pa.Table.from_pylist(rows, KEYPHRASES_SCHEMA)


def gold(*lists: list[str]) -> pa.Table:
    names = ("id", "title", "abstract", "lang")
    rows = [dict.fromkeys(names, "en") | {"id": str(i), "keyphrases": phrases} for i, phrases in enumerate(lists)]
    return pa.Table.from_pylist(rows)


RIGHT, WRONG = found(["heat", "ice"], ["snow"]), found(["heat", "mud"], ["sand"])
GOLD = gold(["heat", "ice"], ["snow"])


def test_a_ranker_is_measured_beside_the_votes_and_its_scores_are_probabilities() -> None:
    measured = measure(GOLD, Training("ranker", None, RIGHT, WRONG))
    assert (measured["system"], measured["calibrated"], measured["documents"]) == ("ranker", True, 2)
    assert measured["metrics"]["F1@5"]["value"] == 1
    assert measured["baseline"]["F1@5"]["value"] == 0.25
    assert measured["calibration"]["ece"] > 0
    assert {gain["name"] for gain in measured["gain"]} >= {"F1@5", "F1@10"}


@pytest.mark.parametrize("system", ["prior", "votes"])
def test_a_rule_is_measured_but_not_as_probabilities(system: str) -> None:
    measured = measure(GOLD, Training(system, None, RIGHT, RIGHT if system == "votes" else WRONG))
    assert (measured["system"], measured["calibrated"], measured["calibration"]) == (system, False, None)
    assert measured["metrics"]["F1@5"]["value"] == 1
    assert measured["baseline"]["F1@5"]["value"] == (1 if system == "votes" else 0.25)


def test_keyphrases_without_a_word_cannot_be_measured_but_it_is_known_what_ranks() -> None:
    assert measure(gold(["!"], []), Training("prior", None, RIGHT, WRONG)) == {"system": "prior", "calibrated": False}
