"""The engine's steps are AdamW's, whatever the ZeRO stage and the number of workers, and its state is plain."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from training.engine_worker import batch
from training.toy_task import Toy

from kartoteka.storage import Storage
from kartoteka.training.engine import configuration, restore, tensors_of
from kartoteka.training.settings import TrainingSettings

HERE = Path(__file__).parent
Found = dict[tuple[int, str], dict]


def run_workers(root: Path, world: int) -> Found:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    path = os.pathsep.join([str(HERE.parent), str(HERE.parents[1] / "platform")])
    processes = [
        subprocess.Popen(
            [sys.executable, str(HERE / "engine_worker.py"), str(root), str(rank), str(world), port],
            env=os.environ | {"PYTHONPATH": path},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(world)
    ]
    for process in processes:
        said, _ = process.communicate(timeout=200)
        assert process.returncode == 0, said[-3000:]
    return torch.load(root / f"found-{world}.pt")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Storage:
    run = Storage(tmp_path_factory.mktemp("engine"))
    Toy().prepare(run)
    return run


@pytest.fixture(scope="module")
def found(run: Storage) -> dict[int, Found]:
    return {world: run_workers(Path(run.root), world) for world in (1, 2)}


@pytest.fixture(scope="module")
def plain(run: Storage) -> dict[str, torch.Tensor]:
    """Six steps of torch's AdamW alone, in this process."""
    task = Toy()
    module = task.build(run)
    matrices = [p for p in module.parameters() if p.ndim > 1]
    vectors = [p for p in module.parameters() if p.ndim == 1]
    adam = torch.optim.AdamW([{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}])
    for step in range(6):
        for group in adam.param_groups:
            group["lr"] = 0.01 * (step + 1)
        adam.zero_grad()
        module(batch(task, run, step, 0, 1))[0].backward()
        torch.nn.utils.clip_grad_norm_(module.parameters(), 0.5)
        adam.step()
    return {name: tensor.detach() for name, tensor in tensors_of(module).items()}


def different(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor], tolerance: float) -> list[str]:
    """The names whose tensors are not there in both, or not of one kind, or further apart than `tolerance`."""
    both = left.keys() & right.keys()
    alike = {name for name in both if _alike(left[name], right[name], tolerance)}
    return sorted((left.keys() | right.keys()) - alike)


def _alike(left: torch.Tensor, right: torch.Tensor, tolerance: float) -> bool:
    if left.shape != right.shape or left.dtype != right.dtype:
        return False
    return torch.allclose(left, right, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("world", [1, 2])
@pytest.mark.parametrize("zero", [0, 1, 2, 3])
def test_steps_are_those_of_adamw(found: dict[int, Found], plain: dict, world: int, zero: int) -> None:
    assert different(found[world][zero, "fp32"]["through"], plain, 1e-5) == []


@pytest.mark.parametrize("world", [1, 2])
@pytest.mark.parametrize("how", [(0, "fp32"), (1, "fp32"), (2, "fp32"), (3, "fp32"), (1, "bf16"), (2, "bf16")])
def test_going_on_from_plain_tensors_changes_nothing(found: dict[int, Found], world: int, how: tuple) -> None:
    one = found[world][how]
    assert different(one["resumed"], one["through"], 1e-6) == []


@pytest.mark.parametrize("zero", [0, 1, 2, 3])
def test_the_state_does_not_depend_on_workers_or_stage(found: dict[int, Found], zero: int) -> None:
    weights, moments = found[2][zero, "fp32"]["kept"]
    other_weights, other_moments = found[1][0, "fp32"]["kept"]
    assert len(moments) == 2 * sum(name != "shift" for name in weights)
    assert different(weights, other_weights, 1e-5) == []
    assert different(moments, other_moments, 1e-5) == []


def test_half_precision_needs_a_stage() -> None:
    with pytest.raises(ValueError, match="precision"):
        configuration(TrainingSettings(zero=0, precision="bf16"), 1)


def test_weights_of_another_model_are_refused(run: Storage) -> None:
    module = Toy().build(run)
    weights = {name: tensor.detach().clone() for name, tensor in tensors_of(module).items()}
    with pytest.raises(ValueError, match=r"checkpoint: does not fit the model: scale is \[2\], not \[1\]"):
        restore(module, weights | {"scale": torch.ones(2)})
    with pytest.raises(ValueError, match="other"):
        restore(module, weights | {"other": torch.ones(2)})
