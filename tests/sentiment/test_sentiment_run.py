"""The three steps as a person takes them: base, pseudo-labels of clusters, final; then the two models compared."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
from rich.console import Console
from sentiment.sentiment_worlds import SMALL, learn_alone, opinion, write
from typer.testing import CliRunner

from jobs.__main__ import app
from kartoteka.sentiment.task import SentimentTask
from kartoteka.sentiment.texts import CLASSES
from kartoteka.storage import Storage
from kartoteka.training import metrics
from kartoteka.training.run import train
from kartoteka.training.settings import TrainingSettings, WorkerSettings

CONFIG = """
[ngrams]
bits = 12
strengths = [1.0]

[clusters]
k = 9

[pseudolabels]
purity = 0.6
probability = 0.4
"""


def command(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result.output


def test_pseudolabels_of_a_base_the_final_step_and_the_two_compared(ray_session: str, tmp_path: Path) -> None:
    rows = [opinion(n) for n in range(90)] + [opinion(n) | {"label": None} for n in range(90, 210)]
    file = write(tmp_path / "texts.jsonl", rows)
    config = tmp_path / "config.toml"
    config.write_text(CONFIG, encoding="utf-8")
    base, begun = SentimentTask((file,), None, None, SMALL), Storage(tmp_path / "base")
    base.prepare(begun)
    (tmp_path / "base/model").mkdir()
    base.export(begun, learn_alone(base, begun, steps=12), tmp_path / "base/model")

    command("train", "sentiment-ngrams", "--data", file, "--config", config, "--out", tmp_path / "ngrams")
    output = command(
        "pseudolabel", "clusters", "--model", tmp_path / "base/model", "--data", file, "--config", config,
        "--out", tmp_path / "pseudo.parquet", "--probability", "0.35", "--second", tmp_path / "ngrams/model",
    )  # fmt: skip
    assert "Unlabelled texts that the thresholds let through" in output
    table = pq.read_table(tmp_path / "pseudo.parquet")
    kept = {row["id"]: row["label"] for row in table.to_pylist() if row["gold"]}
    assert kept == {f"t{n}": CLASSES[n % 3] for n in range(90)}
    believed = [row for row in table.to_pylist() if row["reliable"] and not row["gold"]]
    assert believed
    right = [row["label"] == CLASSES[int(row["id"][1:]) % 3] for row in believed]
    assert sum(right) > 0.5 * len(right)
    assert all(row["agreed"] for row in believed)
    assert {row["purity"] for row in pq.read_table(tmp_path / "pseudo.passing.parquet").to_pylist()} >= {0.6, 0.9}

    soft = SMALL.model_copy(update={"soft": True})
    final = SentimentTask((file,), None, str(tmp_path / "pseudo.parquet"), soft)
    settings = TrainingSettings(steps=10, batch=16, learning_rate=3e-3, validate_every=5, checkpoint_every=10)
    about = train(
        final, settings, WorkerSettings(count=2), Storage(tmp_path / "final"), Console(quiet=True), resume=False,
        command="a test",
    )  # fmt: skip
    assert about["data"]["pseudolabelled"] > 0
    _, losses = metrics.curve(metrics.collect(Storage(tmp_path / "final")), "metric_loss")
    assert len(losses) == 10
    assert "pseudo-labels" in (tmp_path / "final/model/README.md").read_text()

    output = command(
        "evaluate", "sentiment", f"final={tmp_path / 'final/model'}", "--against", f"base={tmp_path / 'base/model'}",
        "--gold", tmp_path / "final/data/validation.parquet", "--resamples", 100,
        "--json", tmp_path / "scores.json", "--html", tmp_path / "page.html",
    )  # fmt: skip
    assert "final against base: McNemar, exact" in output
    assert "Gold classes in the models' unit vectors" in output
    scores = json.loads((tmp_path / "scores.json").read_bytes())
    # The exported weights are fp16: a text on the border may fall on the other side.
    assert abs(scores["systems"][1]["intervals"][0]["value"] - about["best"]["macro_f1"]) < 0.1
    assert set(scores["spaces"]) == {"base", "final"}
    assert "<!doctype html>" in (tmp_path / "page.html").read_text()


def test_what_is_wrong_is_one_line(tmp_path: Path) -> None:
    texts = write(tmp_path / "texts.jsonl", [opinion(n) for n in range(9)])
    empty = write(tmp_path / "empty.jsonl", [])
    other = write(tmp_path / "other.jsonl", [opinion(n, "joy") for n in range(9)])
    for arguments, message in (
        (["pseudolabel", "clusters", "--model", "./no", "--data", texts, "--out", "p.parquet"], "no directory ./no"),
        (
            ["pseudolabel", "clusters", "--model", "./no", "--data", texts, "--out", "p.json"],
            "does not end in .parquet",
        ),
        (["pseudolabel", "clusters", "--model", "./no", "--data", empty, "--out", "p.parquet"], "is empty"),
        (["evaluate", "sentiment", texts, "--gold", other], "gold: no text has one of the labels negative"),
        (["evaluate", "sentiment", "./no", "--gold", texts], "there is no directory ./no"),
    ):
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == 2, result.output
        assert message in result.output
        assert len(result.output.strip().splitlines()) == 1
