"""Which examples form which batch, and the Ray Data stream that makes a worker's batches ahead of it.

The order is a function of the seed and the epoch; a batch is a function of its examples, the step and the rank. So the
number of data tasks, a restart, or another number of workers changes nothing in what a step learns from.
"""

from __future__ import annotations

import math
import pickle
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from kartoteka.storage import Storage
from kartoteka.training.settings import TrainingSettings
from kartoteka.training.task import Batch, Share, Task

#: Steps whose batches one Ray Data task makes, and steps made as one window ahead of the step that is trained.
TOGETHER, WINDOW = 4, 32
#: (step, the examples of each of its micro-batches).
Planned = tuple[int, list[np.ndarray]]


@dataclass(frozen=True, slots=True)
class Order:
    """The examples of every step: `examples` in all, seen in a new order every epoch."""

    examples: int
    settings: TrainingSettings

    @property
    def steps(self) -> int:
        """Optimizer steps of the run."""
        return self.settings.total_steps(self.examples)

    def of_epoch(self, epoch: int) -> np.ndarray:
        """The examples in the order of that epoch, int64."""
        return np.random.default_rng([self.settings.seed, epoch]).permutation(self.examples)

    def micro_batches(self, start: int) -> Iterator[list[Planned]]:
        """(step, the examples of each of its micro-batches) from step `start` on: lists of at most `WINDOW` steps."""
        in_epoch, batch = self.settings.steps_of_epoch(self.examples), self.settings.batch
        step = start
        while step < self.steps:
            epoch, first = divmod(step, in_epoch)
            order = self.of_epoch(epoch)
            until = min(self.steps, (epoch + 1) * in_epoch)
            rows = (order[n * batch : (n + 1) * batch] for n in range(first, first + until - step))
            planned = [(step + i, np.array_split(row, self.settings.accumulation)) for i, row in enumerate(rows)]
            yield from (planned[i : i + WINDOW] for i in range(0, len(planned), WINDOW))
            step = until


@dataclass(frozen=True)
class _Collate:
    """What a Ray Data task does with rows of (step, examples)."""

    task: Task
    uri: str
    rank: int
    world: int
    seed: int

    def __call__(self, rows: pa.Table) -> pa.Table:
        run = Storage(self.uri)
        made = []
        for step, micro in zip(rows["step"].to_pylist(), rows["micro"].to_pylist(), strict=True):
            share = Share(self.rank, self.world, self.seed, step)
            made.append(
                pickle.dumps([self.task.collate(run, np.array(numbers, np.int64), share) for numbers in micro], 5)
            )
        return pa.table({"step": rows["step"], "payload": pa.array(made, pa.large_binary())})


def stream(
    task: Task, run: Storage, order: Order, share: Share, start: int, tasks: int
) -> Iterator[tuple[int, list[np.ndarray], list[Batch]]]:
    """(step, examples of its micro-batches, this worker's part of them) from step `start` on, in order.

    Called in a Ray Train worker. `tasks` make batches at a time, beside the workers: they reserve no CPU, for a cluster
    whose CPUs are all held by workers could never run them. A window is made while the one before it is trained on: a
    dataset that waits to be consumed keeps Ray Data's executor spinning in this process, at the cost of a core and of
    the interpreter's lock (measured: 18 s a step in place of 8).
    """
    from kartoteka.flow.execute import configure_ray_data

    configure_ray_data()
    collate = _Collate(task, run.uri, share.rank, share.world, share.seed)
    with ThreadPoolExecutor(1) as ahead:
        made: Future[list[bytes]] | None = None
        window: list[Planned] = []
        for following in [*order.micro_batches(start), []]:
            coming = ahead.submit(_make, collate, following, tasks) if following else None
            if made is not None:
                for (step, examples), payload in zip(window, made.result(), strict=True):
                    yield step, examples, pickle.loads(payload)
            made, window = coming, following


def _make(collate: _Collate, window: list[Planned], tasks: int) -> list[bytes]:
    """The batches of a window's steps, made by Ray Data."""
    import ray.data

    ray.data.DataContext.get_current().execution_options.preserve_order = True
    rows = [{"step": step, "micro": [part.tolist() for part in parts]} for step, parts in window]
    # Not from_arrow: it asks for the blocks' metadata in tasks that want a CPU.
    source = ray.data.from_items(rows, override_num_blocks=math.ceil(len(rows) / TOGETHER))
    made = source.map_batches(
        collate,
        batch_size=None,
        batch_format="pyarrow",
        num_cpus=0,
        compute=ray.data.TaskPoolStrategy(size=tasks),
    )
    found = pa.concat_tables(made.iter_batches(batch_size=None, batch_format="pyarrow"))
    assert found["step"].to_pylist() == [step for step, _ in window]
    return found["payload"].to_pylist()
