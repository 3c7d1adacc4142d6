"""Real processes that form a gloo group, for what cannot be shown in one."""

from __future__ import annotations

import multiprocessing
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from kartoteka.training.gather import world


def run_group(function: Callable[..., Any], folder: Path, *arguments: Any, world: int = 2) -> list[Any]:
    """`function(*arguments)` in `world` new processes that form a group; what each returned."""
    context = multiprocessing.get_context("spawn")
    processes = [
        context.Process(target=_worker, args=(function, str(folder), rank, world, arguments)) for rank in range(world)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
        if process.is_alive():
            process.kill()
    results = [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in range(world)]
    for result in results:
        if isinstance(result, str):
            raise AssertionError(result)
    return [result[0] for result in results]


def _worker(function, folder, rank, world, arguments):
    torch.set_num_threads(1)
    try:
        dist.init_process_group("gloo", init_method=f"file://{folder}/group", rank=rank, world_size=world)
        result = (function(*arguments),)
        dist.destroy_process_group()
    except Exception:
        result = traceback.format_exc()
    torch.save(result, Path(folder) / f"{rank}.pt")


def learned(module: torch.nn.Module, batches: list[list[dict]]) -> list[tuple[float, torch.Tensor]]:
    """Loss and flat gradient of this worker's part of each batch; `batches` has the parts by rank."""
    rank = torch.distributed.get_rank() if world() > 1 else 0
    found = []
    for parts in batches:
        module.zero_grad()
        loss, _ = module(parts[rank])
        loss.backward()
        found.append((loss.item(), torch.cat([p.grad.flatten() for p in module.parameters()])))
    return found
