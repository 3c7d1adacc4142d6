"""What the two processes of the engine's test do; their findings are written to a file."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from training.toy_task import Toy

from kartoteka.storage import Storage
from kartoteka.training.engine import Engine, restore
from kartoteka.training.loop import tensors
from kartoteka.training.settings import TrainingSettings
from kartoteka.training.task import Share


def batch(task: Toy, run: Storage, step: int, rank: int, world: int) -> dict[str, torch.Tensor]:
    numbers = np.random.default_rng(step).permutation(task.rows)[:16]
    return tensors(task.collate(run, numbers, Share(rank, world, 0, step)), torch.device("cpu"))


def learn(engine: Engine, task: Toy, run: Storage, steps: range, rank: int, world: int) -> None:
    for step in steps:
        engine.set_rate(0.01 * (step + 1))
        loss, _ = engine.module(batch(task, run, step, rank, world))
        engine.learn(loss)


def main(root: str, rank: int, world: int) -> None:
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": sys.argv[4], "RANK": str(rank), "LOCAL_RANK": str(rank)}
    os.environ |= {"WORLD_SIZE": str(world), "DS_ACCELERATOR": "cpu"}
    dist.init_process_group("gloo", rank=rank, world_size=world)
    run, task = Storage(root), Toy()
    found = {}
    for zero, precision in ((0, "fp32"), (1, "fp32"), (2, "fp32"), (3, "fp32"), (1, "bf16"), (2, "bf16")):
        settings = TrainingSettings(zero=zero, precision=precision, batch=16, clip=0.5, weight_decay=0.1)
        engine = Engine(task.build(run), settings, world)
        learn(engine, task, run, range(3), rank, world)
        kept = [engine.weights(), engine.moments()]
        assert rank == 0 or kept == [{}, {}]  # the first has them for all
        dist.broadcast_object_list(kept)
        learn(engine, task, run, range(3, 6), rank, world)
        through = engine.weights()
        module = task.build(run)
        restore(module, kept[0])
        again = Engine(module, settings, world)
        again.load(*kept, 3)
        learn(again, task, run, range(3, 6), rank, world)
        found[zero, precision] = {"kept": kept, "through": through, "resumed": again.weights()}
    if rank == 0:
        torch.save(found, Path(root, f"found-{world}.pt"))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
