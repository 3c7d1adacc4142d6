"""The loop: what every worker of a run does, from the newest checkpoint to the last step."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
import torch.distributed as dist

from kartoteka.storage import Storage
from kartoteka.training import checkpoints
from kartoteka.training.checkpoints import State
from kartoteka.training.engine import Engine, restore
from kartoteka.training.metrics import Metrics
from kartoteka.training.order import Order, stream
from kartoteka.training.settings import TrainingSettings, WorkerSettings
from kartoteka.training.task import Batch, Part, Share, Task

#: Seconds between two words about the progress.
SAY_EVERY = 1.0
PROGRESS, FAILURE = "progress.json", "failure.json"
#: Examples that an error message names.
_NAMED = 5


@dataclass(frozen=True)
class Work:
    """What a worker is given: where the run is, what is trained and how."""

    uri: str
    task: Task
    settings: TrainingSettings
    workers: WorkerSettings


@dataclass
class Loop:
    """One worker's side of a run. `rank` 0 speaks and writes for all."""

    work: Work
    rank: int
    world: int
    device: torch.device
    run: Storage = field(init=False)
    started: float = field(default_factory=time.monotonic)
    said: float = 0.0
    validated: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.run = Storage(self.work.uri)
        self.task, self.settings = self.work.task, self.work.settings
        self.order = Order(self.task.examples(self.run), self.settings)
        self.metrics = Metrics(self.run, self.task.name)

    def go(self) -> None:
        """Train to the last step, or until patience ends, or a loss is no number (then `failure.json` says where)."""
        state = self._begin()
        self._tell(state.step)
        if state.step == 0:
            state = self._validate(state)
        share = Share(self.rank, self.world, self.settings.seed)
        if not self._over(state):
            batches = stream(self.task, self.run, self.order, share, state.step, self.work.workers.data_tasks)
            for step, examples, micro in batches:
                assert step == state.step
                if not self._step(step, examples, micro):
                    return
                state = replace(state, step=step + 1)
                last = state.step == self.order.steps
                if last or state.step % self.settings.validate_every == 0:
                    state = self._validate(state)
                if self._over(state) or state.step % self.settings.checkpoint_every == 0:
                    self._checkpoint(state)
                self._tell(state.step)
                if self._over(state):
                    break
        self._tell(state.step, done=True)

    def _begin(self) -> State:
        """The engine, and the state to go on from: that of the newest checkpoint."""
        found = checkpoints.newest(self.run)
        torch.manual_seed(self.settings.seed)
        module = self.task.build(self.run)
        if self.settings.activation_checkpointing:
            for part in module.modules():
                if hasattr(part, "gradient_checkpointing_enable"):
                    part.gradient_checkpointing_enable({"use_reentrant": False})
                    break
        if found:
            restore(module, found.weights)
        self.engine = Engine(module.to(self.device), self.settings, self.world)
        if found:
            self.engine.load(found.weights, found.moments, found.state.step)
        state = found.state if found else State(0)
        self.before = state
        if self.rank == 0:
            self.metrics.rewind(state.step)
        return state

    def _step(self, step: int, examples: Sequence[np.ndarray], micro: Sequence[Batch]) -> bool:
        """One optimizer step; False when its loss is no number."""
        # Dropout depends on the step and the worker alone, so that a resumed run draws what an undisturbed one would.
        torch.manual_seed(hash((self.settings.seed, step, self.rank)) & 0x7FFFFFFF)
        self.engine.set_rate(self.settings.rate(step, self.order.steps))
        self.engine.module.train()
        total: dict[str, float] = {}
        for numbers, batch in zip(examples, micro, strict=True):
            loss, figures = self.engine.module(tensors(batch, self.device))
            figures = self._mean({"loss": loss.detach(), **figures})
            if not math.isfinite(figures["loss"]):
                self.fail(f"loss: {figures['loss']} at step {step + 1}, over {self._over_what(numbers)}")
                return False
            self.engine.learn(loss)
            for name, value in figures.items():
                total[name] = total.get(name, 0.0) + value / len(micro)
        if self.rank == 0:
            rate = self.settings.rate(step, self.order.steps)
            extra = {"learning_rate": rate, "gradient_norm": self.engine.gradient_norm}
            self.metrics.add(step + 1, total | extra, self._seconds())
        return True

    def _validate(self, state: State) -> State:
        module = self.engine.engine.module
        module.eval()
        share = Share(self.rank, self.world, self.settings.seed, state.step)
        with torch.no_grad():
            parts = self.task.validate(self.run, module, share)
        figures = self._sum(parts)
        value = figures[self.task.metric]
        if self.rank == 0:
            self.metrics.add(state.step, {f"validation_{name}": v for name, v in figures.items()}, self._seconds())
        better = state.best is None or value > state.best
        # Of equal weights those that have learned longer: a metric that is still 0 must not keep the untrained ones.
        kept = better or value == state.best
        self.validated = {"step": state.step, "figures": figures, "best": kept}
        since = 0 if better else state.since + 1
        if not kept:
            return replace(state, since=since)
        weights = self.engine.weights()
        if self.rank == 0:
            checkpoints.put_best(self.run, weights, state.step, figures)
        return replace(state, best=value, best_step=state.step, since=since)

    def _checkpoint(self, state: State) -> None:
        cpu = self._reduce(torch.tensor([time.process_time()], dtype=torch.float64)).item()
        state = replace(state, seconds=self._seconds(), cpu_seconds=self.before.cpu_seconds + cpu)
        held = self._held()
        if self.rank == 0:
            self.metrics.flush(state.step)
            checkpoints.put(self.run, state, held, self.settings.keep)
        else:
            deque(held, maxlen=0)  # it takes all workers to gather them
        if self.world > 1:
            dist.barrier()

    def _held(self) -> Iterator[tuple[str, dict[str, torch.Tensor]]]:
        """What a checkpoint holds, one after the other: moments are twice as large as the model."""
        yield checkpoints.WEIGHTS, self.engine.weights()
        yield checkpoints.MOMENTS, self.engine.moments()

    def _over(self, state: State) -> bool:
        patience = self.settings.patience
        return state.step >= self.order.steps or bool(patience and state.since >= patience)

    def _seconds(self) -> float:
        return self.before.seconds + time.monotonic() - self.started

    def _tell(self, step: int, done: bool = False) -> None:
        if self.rank == 0 and (done or time.monotonic() - self.said >= SAY_EVERY):
            self.said = time.monotonic()
            self.run.put_json(PROGRESS, {"step": step, "steps": self.order.steps, "validated": self.validated})

    def fail(self, message: str) -> None:
        """Leave word for the driver why this run cannot go on; its checkpoints stay."""
        if self.rank == 0:
            self.run.put_json(FAILURE, {"message": message})

    def _over_what(self, numbers: np.ndarray) -> str:
        names = ", ".join(self.task.label(self.run, int(number)) for number in numbers[:_NAMED])
        return names + (f" and {len(numbers) - _NAMED} more" if len(numbers) > _NAMED else "")

    def _mean(self, figures: dict[str, Any]) -> dict[str, float]:
        """The mean of each figure over the workers: what the loss and the gradient are, too."""
        values = torch.stack([torch.as_tensor(value, dtype=torch.float64).cpu() for value in figures.values()])
        return dict(zip(figures, (self._reduce(values) / self.world).tolist(), strict=True))

    def _sum(self, parts: dict[str, Part]) -> dict[str, float]:
        sums = self._reduce(torch.tensor([list(part) for part in parts.values()], dtype=torch.float64))
        return {name: s / n if n else 0.0 for name, (s, n) in zip(parts, sums.tolist(), strict=True)}

    def _reduce(self, values: torch.Tensor) -> torch.Tensor:
        if self.world > 1:
            there = values.to(self.device)
            dist.all_reduce(there)
            return there.cpu()
        return values


def tensors(batch: Batch, device: torch.device) -> dict[str, torch.Tensor]:
    """A batch as tensors on the device."""
    return {name: torch.from_numpy(np.asarray(array, order="C")).to(device) for name, array in batch.items()}


def train_worker(config: dict[str, Work]) -> None:
    """What Ray Train runs in each worker: `config` holds its `work`."""
    import ray.train
    import ray.train.torch

    from kartoteka.telemetry import quiet_worker

    quiet_worker()
    work = config["work"]
    context = ray.train.get_context()
    device = ray.train.torch.get_device()
    if device.type == "cpu":
        torch.set_num_threads(work.workers.threads)
    loop = Loop(work, context.get_world_rank(), context.get_world_size(), device)
    try:
        loop.go()
    except ValueError as error:  # of what the user gave: every worker meets it alike, and would meet it again
        loop.fail(str(error))
