"""A generator through the one loop: two workers that share the optimizer, the gradient and the weights."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest
from generation.generation_worlds import record
from rich.console import Console

from kartoteka.generation.generate import Generator
from kartoteka.storage import Storage
from kartoteka.training import metrics
from kartoteka.training.run import train
from kartoteka.training.settings import TrainingSettings, WorkerSettings


@pytest.mark.slow
@pytest.mark.parametrize("zero", [1, 3])
def test_two_workers_train_one_generator(ray_session, small_run, tmp_path: Path, zero):
    task, _ = small_run
    settings = TrainingSettings(
        steps=6, batch=8, accumulation=2, learning_rate=0.003, validate_every=3, checkpoint_every=3, zero=zero
    )
    run = Storage(tmp_path / "run")
    train(task, settings, WorkerSettings(count=2), run, Console(quiet=True), resume=False, command="a test")
    about = json.loads((tmp_path / "run/run.json").read_bytes())
    assert about["state"] == "finished"
    assert about["best"]["f1_at_m"] >= 0
    _, losses = metrics.curve(metrics.collect(run), "loss")
    assert losses[-1] < losses[0]
    found = Generator.open(str(tmp_path / "run/model")).suggest(pa.Table.from_pylist([record(1)]))
    assert found["id"].to_pylist() == ["d1"]
