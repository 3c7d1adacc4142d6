"""Editions and replicas change under load: no request fails, and every answer is that of the edition it names."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from serve_asking import Heard, asking
from serve_configuration import documents_of

from kartoteka import edition as editions
from kartoteka.client import Client
from kartoteka.online.keyphrases import Indexer
from kartoteka.stages.vectors import matrix_of
from serve.editions import EditionRef
from serve.rollout import turn_to


@pytest.fixture(scope="module")
def other_edition(small_edition: Path) -> Path:
    """The same documents beside the first edition, their keyphrases ranked by votes: its answers are others."""
    place = small_edition.with_name("other")
    shutil.copytree(small_edition, place)
    manifest = json.loads((place / "manifest.json").read_text())
    manifest["config"]["keyphrases"]["method"] = "votes"
    (place / "manifest.json").write_text(json.dumps(manifest))
    return place


@pytest.fixture
def back(served: Any) -> Iterator[None]:
    """Whatever a test promotes, the next one finds the small edition served."""
    yield
    turn_to(EditionRef.of(str(served.edition)), 120)


def expected_phrases(edition: Path) -> list[list[str]]:
    """What the library says of each document, by the vectors that the edition holds."""
    indexer = Indexer.open(str(edition))
    vectors = matrix_of(editions.open(edition).table("embeddings").to_table()["vector"])
    values = [indexer.normalise(d["title"], d["abstract"], d["lang"], d["id"]) for d in documents_of(edition)]
    return [[k["phrase"] for k in found] for found in indexer.suggest(values, vectors)]


def wrong(heard: Heard, expected: dict[str, list[list[str]]]) -> list[int]:
    """The answers that are not those of the edition they name."""
    return [
        number
        for number, answer in heard.answers
        if [k["phrase"] for k in answer["results"][0]["keyphrases"]]
        != expected[answer["edition"]][number % len(expected[answer["edition"]])]
    ]


def wait_for_answers(heard: Heard, count: int) -> None:
    """Until so many more answers have come, or something has failed."""
    wanted, deadline = len(heard.answers) + count, time.monotonic() + 90
    while len(heard.answers) < wanted and not heard.failures:
        assert time.monotonic() < deadline, f"{len(heard.answers)} answers of {wanted}"
        time.sleep(0.05)


def test_promotion_and_rolling_back_under_load(served: Any, other_edition: Path, back: None) -> None:
    documents = documents_of(served.edition)
    expected = {path.name: expected_phrases(path) for path in (served.edition, other_edition)}
    assert expected["edition"] != expected["other"]

    def ask(client: Client, number: int) -> dict[str, Any]:
        return client.keyphrases([documents[number % len(documents)]])

    with asking(served.url, served.key, ask) as heard:
        wait_for_answers(heard, 20)
        turn_to(EditionRef.of(str(other_edition)), 120)
        turned = len(heard.answers)
        wait_for_answers(heard, 40)
        turn_to(EditionRef.of(str(served.edition)), 120)
        wait_for_answers(heard, 20)
    assert heard.failures == []
    assert wrong(heard, expected) == []
    named = [answer["edition"] for _, answer in heard.answers]
    # What was asked by one of the six threads before the turn may be answered after it.
    assert set(named[turned + 6 : turned + 30]) == {"other"}
    assert named[-1] == "edition"


def test_an_edition_that_cannot_be_opened_is_refused(
    served: Any, other_edition: Path, back: None, tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(other_edition, broken)
    (broken / "catalogue" / "row.npy").write_bytes(b"torn")
    with pytest.raises(ValueError, match=r"refuses broken.*goes on with edition"):
        turn_to(EditionRef.of(str(broken)), 120)
    with Client(served.url, served.key) as client:
        said = client.version()
        assert said["edition"] == "edition"
        assert "row.npy" in said["refused"]
        assert str(tmp_path) not in said["refused"]
        assert client.search("reactor")["total"] > 0
    os.kill(replica_of("Index"), signal.SIGKILL)  # the one that takes its place starts with what is served
    with Client(served.url, served.key, timeout=60, retries=12) as client:
        assert client.search("reactor")["edition"] == "edition"
        turn_to(EditionRef.of(str(other_edition)), 120)
        assert client.version()["refused"] is None


def test_what_is_new_since_another_edition(served: Any, other_edition: Path) -> None:
    with Client(served.url, served.key) as client:
        assert client.similar(text="reactor", filters={"new_since": "other"})["results"] == []


@pytest.mark.slow
@pytest.mark.parametrize("deployment", ["Encoder", "Gateway"])
def test_a_replica_that_is_killed_under_load_is_not_noticed(served: Any, deployment: str) -> None:
    documents = documents_of(served.edition)
    expected = {"edition": expected_phrases(served.edition)}

    def ask(client: Client, number: int) -> dict[str, Any]:
        return client.keyphrases([documents[number % len(documents)]])

    with asking(served.url, served.key, ask) as heard:
        wait_for_answers(heard, 20)
        os.kill(replica_of(deployment), signal.SIGKILL)
        wait_for_answers(heard, 40)
    assert heard.failures == []
    assert wrong(heard, expected) == []


def replica_of(deployment: str) -> int:
    """The process of a replica, by the name that Ray gives it."""
    import psutil

    for process in psutil.process_iter(["cmdline"]):
        if f"ServeReplica:kartoteka:{deployment}" in " ".join(process.info["cmdline"] or []):
            return process.pid
    raise AssertionError(f"no replica of {deployment}")
