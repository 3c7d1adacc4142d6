"""Whole runs on a real cluster: killed, resumed with other workers, gone wrong."""

from __future__ import annotations

import json
import subprocess
import weakref
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console
from training.toy_task import Toy

from kartoteka.storage import Storage
from kartoteka.training import checkpoints, metrics
from kartoteka.training.run import train, worker_environment
from kartoteka.training.settings import TrainingSettings, WorkerSettings

SETTINGS = TrainingSettings(
    steps=14, batch=16, learning_rate=0.02, validate_every=7, checkpoint_every=4, accumulation=2, zero=2
)


def go(
    folder: Path, task: Toy, *, workers: int = 1, resume: bool = False, restarts: int = 0, settings: object = SETTINGS
) -> dict:
    places = WorkerSettings(count=workers, restarts=restarts)
    return train(task, settings, places, Storage(folder), Console(quiet=True), resume=resume, command="a test")


def losses(folder: Path) -> np.ndarray:
    steps, values = metrics.curve(metrics.collect(Storage(folder)), "loss")
    assert steps == [*range(1, len(steps) + 1)]
    return np.array(values)


@pytest.fixture(scope="module")
def undisturbed(ray_session: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed") / "run"
    go(folder, Toy(dropout=0.1), workers=1)
    return folder


def test_a_run_leaves_a_model_a_card_and_a_report(undisturbed: Path) -> None:
    about = json.loads((undisturbed / "run.json").read_bytes())
    assert about["state"] == "finished"
    assert about["steps"] == 14
    curve = losses(undisturbed)
    assert curve[-4:].mean() < 0.8 * curve[:4].mean()
    _, fits = metrics.curve(metrics.collect(Storage(undisturbed)), "validation_fit")
    assert about["best"]["fit"] == max(fits) > fits[0]
    assert "made up" in (undisturbed / "model/README.md").read_text()
    weights, best = checkpoints.best(Storage(undisturbed))
    exported = torch.load(undisturbed / "model/weights.pt")
    assert all(torch.equal(exported[name], weights[name]) for name in weights)
    page = (undisturbed / "report.html").read_text()
    assert f"{best['figures']['fit']:.4f}" in page
    assert "<svg" in page
    assert (undisturbed / "metrics.csv").read_text().startswith('"step","name","value","seconds"')
    assert len(checkpoints.folders(Storage(undisturbed))) == SETTINGS.keep


def test_workers_have_the_memory_of_ray_s_jemalloc(undisturbed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, found = metrics.curve(metrics.collect(Storage(undisturbed)), "jemalloc")
    assert set(found) == {1.0}
    monkeypatch.setenv("LD_PRELOAD", "/one.so")
    monkeypatch.setenv("MALLOC_CONF", "narenas:1")
    given = worker_environment(WorkerSettings())
    assert given["LD_PRELOAD"].startswith("/one.so:")
    assert given["MALLOC_CONF"].endswith(",narenas:1")  # of two values for an option the last counts
    monkeypatch.undo()
    told = subprocess.run(["true"], env=worker_environment(WorkerSettings()), capture_output=True, text=True)
    assert (told.returncode, told.stderr) == (0, "")  # of an option that it does not know, jemalloc complains there


def test_of_equal_validations_the_last_gives_the_weights_and_patience_still_ends(
    ray_session: str, tmp_path: Path
) -> None:
    """With a rate too small to change any weight, every validation is the same."""
    still = SETTINGS.model_copy(
        update={"learning_rate": 1e-30, "weight_decay": 0.0, "validate_every": 2, "patience": 2}
    )
    about = go(tmp_path / "run", Toy(), settings=still)
    assert about["best"]["step"] == about["steps"] == 4


def test_a_worker_killed_on_the_way_changes_nothing(undisturbed: Path, tmp_path: Path) -> None:
    go(tmp_path / "run", Toy(dropout=0.1, kill=f"10:{tmp_path / 'dead'}"), restarts=1)
    assert (tmp_path / "dead").exists()
    assert np.array_equal(losses(tmp_path / "run"), losses(undisturbed))


@pytest.mark.slow
def test_a_run_goes_on_with_other_workers(ray_session: str, tmp_path: Path) -> None:
    """Two workers, killed for good; then one. Neither the curve nor the optimizer notices."""
    go(tmp_path / "whole", Toy())
    task = Toy(kill=f"10:{tmp_path / 'dead'}")
    with pytest.raises(RuntimeError, match="--resume"):
        go(tmp_path / "run", task, workers=2)
    assert checkpoints.folders(Storage(tmp_path / "run"))[-1].endswith("step-00000008")
    with pytest.raises(ValueError, match="say --resume"):
        go(tmp_path / "run", task)
    with pytest.raises(ValueError, match=r"training\.seed: 0 is now 1"):
        go(tmp_path / "run", task, resume=True, settings=SETTINGS.model_copy(update={"seed": 1}))
    go(tmp_path / "run", task, workers=1, resume=True)
    np.testing.assert_allclose(losses(tmp_path / "run"), losses(tmp_path / "whole"), rtol=1e-4)


def test_a_loss_that_is_no_number_stops_at_once(ray_session: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"loss: nan at step \d+, over row \d+"):
        go(tmp_path / "run", Toy(bad=40), restarts=3)
    assert json.loads((tmp_path / "run/run.json").read_bytes())["state"] == "running"


def test_what_cannot_begin_is_refused(ray_session: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nothing to resume"):
        go(tmp_path / "run", Toy(), resume=True)
    with pytest.raises(ValueError, match="workers: 64 need 64 CPU; the cluster has 2"):
        go(tmp_path / "run", Toy(), workers=64)
    assert not (tmp_path / "run").exists()


def holding(value: float) -> Iterator[tuple[str, dict[str, torch.Tensor]]]:
    """The tensors of a checkpoint; the second set is asked for when the first has been let go."""
    tensors = {"a": torch.full((3,), float(value))}
    first = weakref.ref(tensors["a"])
    yield checkpoints.WEIGHTS, {"a": tensors.pop("a")}
    assert first() is None
    yield checkpoints.MOMENTS, {}


def test_a_torn_or_foreign_checkpoint_is_named(tmp_path: Path) -> None:
    run = Storage(tmp_path)
    state = checkpoints.State(4, best=0.5, best_step=4)
    checkpoints.put(run, state, holding(3.0), keep=1)
    found = checkpoints.newest(run)
    assert found.state == state
    assert torch.equal(found.weights["a"], torch.full((3,), 3.0))
    assert found.moments == {}
    weights = next(tmp_path.rglob("weights.safetensors"))
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(ValueError, match=r"checkpoint: .*weights.safetensors is torn or foreign"):
        checkpoints.newest(run)
    next(tmp_path.rglob("state.json")).write_text('{"something": "else"}')
    with pytest.raises(ValueError, match="is not a checkpoint's"):
        checkpoints.newest(run)


def test_a_half_written_checkpoint_is_none(tmp_path: Path) -> None:
    run = Storage(tmp_path)
    for step in (1, 2, 3):
        checkpoints.put(run, checkpoints.State(step), holding(step), keep=2)
    assert [name[-1] for name in checkpoints.folders(run)] == ["2", "3"]
    (tmp_path / "checkpoints/step-00000003/state.json").unlink()
    assert checkpoints.newest(run).state == checkpoints.newest_state(run) == checkpoints.State(2)
