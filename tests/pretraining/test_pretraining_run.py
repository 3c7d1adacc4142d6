"""From texts to an encoder, and from it to a classifier, by the two commands a person gives."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from pretraining.pretraining_worlds import TINY
from rich.console import Console
from sentiment.sentiment_worlds import SMALL, opinion, write
from transformers import AutoModelForMaskedLM
from typer.testing import CliRunner

from jobs.__main__ import app
from kartoteka.pretraining.task import MlmTask
from kartoteka.sentiment.task import SentimentTask
from kartoteka.storage import Storage
from kartoteka.training import metrics
from kartoteka.training.run import train
from kartoteka.training.settings import TrainingSettings, WorkerSettings


@pytest.mark.slow
def test_an_encoder_that_has_read_the_texts_begins_a_classifier(ray_session: str, tmp_path: Path) -> None:
    file = write(tmp_path / "texts.jsonl", [opinion(n) for n in range(200)])
    settings = TrainingSettings(steps=30, batch=32, learning_rate=1e-2, validate_every=30, checkpoint_every=30)
    task, run = MlmTask((file,), None, TINY), Storage(tmp_path / "run")
    about = train(
        task, settings, WorkerSettings(count=2), run, Console(quiet=True), resume=False, command="a test"
    )  # fmt: skip
    _, lost = metrics.curve(metrics.collect(run), "validation_nll")
    assert about["best"]["nll"] < lost[0] - 1
    assert "masked-language" in (tmp_path / "run/model/README.md").read_text()

    read = AutoModelForMaskedLM.from_pretrained(tmp_path / "run/model", dtype=torch.float32)
    classifier, begun = SentimentTask((file,), str(tmp_path / "run/model"), None, SMALL), Storage(tmp_path / "base")
    classifier.prepare(begun)
    begins = dict(classifier.build(begun).classifier.model.named_parameters())
    shared = [name for name, weights in read.named_parameters() if name in begins]
    assert len(shared) == len(begins) - 2  # all but the last layer's weight and bias, which are new
    assert all(torch.equal(begins[name], read.get_parameter(name)) for name in shared)


def test_what_is_wrong_is_one_line(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text("[mlm]\nmasked = 1.5\n", encoding="utf-8")
    for arguments, message in (
        (["--texts", "./no.jsonl"], "no.jsonl"),
        (["--texts", "./no.jsonl", "--config", str(config)], "`mlm.masked`"),
    ):
        result = CliRunner().invoke(app, ["train", "mlm", "--out", str(tmp_path / "run"), *arguments])
        assert result.exit_code == 2, result.output
        assert message in result.output
        assert len(result.output.strip().splitlines()) == 1


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_all_or_nothing_cannot_be_masked(share: float) -> None:
    with pytest.raises(ValueError, match="masked"):
        type(TINY).parse({"masked": share})
