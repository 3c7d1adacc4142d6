"""`kartoteka train sentiment-ngrams` as a person runs it: what it leaves, what it refuses, and what takes its model."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from sentiment.sentiment_worlds import opinion, write
from typer.testing import CliRunner

from jobs.__main__ import app
from kartoteka.sentiment.classify import identity_of
from kartoteka.sentiment.texts import read_texts, side_keys

CONFIG = """
[ngrams]
bits = 12
strengths = [1.0, 10.0]
test_share = 0.25

[sentiment.labels]
"-1" = "negative"
"""


def command(*arguments: object, code: int = 0) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    return result.output


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.toml"
    path.write_text(CONFIG, encoding="utf-8")
    return path


def texts(folder: Path) -> str:
    rows = [opinion(n, "-1" if n % 3 == 0 else None) for n in range(300)]
    return write(folder / "texts.jsonl", [*rows, opinion(3), opinion(300) | {"label": None}, opinion(301, "skip")])


def test_a_run_leaves_a_model_with_its_card_the_texts_and_a_report(tmp_path: Path, config: Path) -> None:
    train = ("train", "sentiment-ngrams", "--data", texts(tmp_path), "--config", config, "--out")
    output = command(*train, tmp_path / "run")
    assert "203 training, 22 validation, 75 test" in output  # a quarter is tested on, a tenth of the rest validates
    about = json.loads((tmp_path / "run/run.json").read_text())
    counts = {name: about["data"][name] for name in ("training", "validation", "test")}
    assert counts == {"training": 203, "validation": 22, "test": 75}
    assert about["data"]["refused"] == {"a copy of another text": 1, "label `skip` is no class": 1}
    assert about["best"]["macro_f1_low"] <= about["best"]["macro_f1"] <= about["best"]["macro_f1_high"]
    assert about["best"]["macro_f1"] > 0.9

    held = {name: pq.read_table(tmp_path / f"run/data/{name}.parquet").to_pylist() for name in ("validation", "test")}
    assert {name: len(rows) for name, rows in held.items()} == {"validation": 22, "test": 75}
    sides = [set(side_keys([row["text"] for row in rows]).tolist()) for rows in held.values()]
    assert not sides[0] & sides[1]
    given = dict(
        zip(*(getattr(read_texts([texts(tmp_path)], {"-1": "negative"}), n) for n in ("ids", "texts")), strict=True)
    )
    assert all(given[row["id"]] == row["text"] for rows in held.values() for row in rows)

    card = (tmp_path / "run/model/README.md").read_text()
    assert "On test texts kept out of the training:" in card
    assert f"| macro_f1 | {about['best']['macro_f1']:.4f} |" in card
    assert str(tmp_path) not in (tmp_path / "run/model/ngrams.json").read_text()
    assert "Confusion matrix" in (tmp_path / "run/report.html").read_text()

    scores = tmp_path / "scores.json"
    command(
        "evaluate", "sentiment", tmp_path / "run/model", "--gold", tmp_path / "run/data/test.parquet", "--json", scores,
        "--resamples", 100,
    )  # fmt: skip
    system = json.loads(scores.read_text())["systems"][0]
    assert system["intervals"][0]["value"] == pytest.approx(about["best"]["macro_f1"], abs=1e-12)

    command(*train, tmp_path / "again")
    assert identity_of(str(tmp_path / "again/model"))["sha256"] == identity_of(str(tmp_path / "run/model"))["sha256"]
    assert "exists; choose another path" in command(*train, tmp_path / "run", code=2)


def test_what_cannot_be_learned_from_is_said_in_a_line(tmp_path: Path, config: Path) -> None:
    two = write(tmp_path / "two.jsonl", [opinion(n) for n in range(60) if n % 3])
    wrong = tmp_path / "wrong.toml"
    wrong.write_text("[ngrams]\nshortest = 4\nlongest = 2\n", encoding="utf-8")
    negative = tmp_path / "negative.toml"
    negative.write_text("[ngrams]\nstrengths = [1.0, 0.0]\n", encoding="utf-8")
    one = write(tmp_path / "one.jsonl", [opinion(0)])
    for data, settings, message in (
        (one, config, "data: no text of class `negative` to learn from"),
        (two, config, "data: no text of class `negative` to learn from"),
        (tmp_path / "absent.jsonl", config, "no such file"),
        (two, wrong, "longest: 2 is less than shortest, 4"),
        (two, negative, "strengths: 0 is not above 0"),
    ):
        arguments = ("train", "sentiment-ngrams", "--data", data, "--config", settings, "--out", tmp_path / "run")
        assert message in command(*arguments, code=2)
    assert not (tmp_path / "run/run.json").exists()


def test_a_classifier_without_vectors_gives_no_clusters(tmp_path: Path) -> None:
    said = command(
        "pseudolabel", "clusters", "--model", "default", "--data", texts(tmp_path), "--out", tmp_path / "p.parquet",
        code=2,
    )  # fmt: skip
    assert "model: default is a classifier by n-grams: it has no vectors" in said
