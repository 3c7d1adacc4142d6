"""Stages as Ray Data pipelines: parts in, completions out, one pool of workers per group of steps with equal needs.

Steps that need a GPU run in a pool of their own, so that reading and tokenising scale on CPUs and keep it busy; without
one, a part passes all steps in one worker, one per core, and nothing travels; the workers are then Ray's idle ones: the
same processes, with all they have imported, take one stage after the other.
"""

from __future__ import annotations

import gc
import logging
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import orjson
import ray
import ray.data
from ray.data import ActorPoolStrategy, TaskPoolStrategy

from kartoteka.flow.ledger import Completion
from kartoteka.flow.stage import Resources, Stage, Step, thread_environment
from kartoteka.flow.worker import PartWorker, State, pack_failure, unpack_failure
from kartoteka.storage import Storage

#: Blocks of the input: beyond this many, several parts share one. A part still commits on its own.
MAX_BLOCKS = 4096


def configure_ray_data() -> None:
    """Ray Data as this flow needs it: our own progress, every part in a block of its own, errors at once."""
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.max_errored_blocks = 0
    context.target_max_block_size = 1 << 20  # a yielded part is not held back to be merged with the next
    logging.getLogger("ray.data").setLevel(logging.ERROR)


def groups_of(steps: Sequence[Step]) -> list[list[Step]]:
    """Consecutive steps that share a pool: those that need a GPU apart from those that do not."""
    return [list(group) for _, group in groupby(steps, key=lambda s: s.resources.gpus)] or [[]]


def needs_of(group: Sequence[Step]) -> Resources:
    """What one worker of a group holds: the largest need among its steps."""
    return Resources(
        max((s.resources.cpus for s in group), default=1.0), max((s.resources.gpus for s in group), default=0.0)
    )


def pool_sizes(needs: Sequence[Resources], parts: int) -> list[int]:
    """How many workers each pool gets when all pools live at the same time, at most one a part.

    Accelerators are served first, for they are to be kept busy; the CPUs that remain are shared.
    Raises `ValueError` when not even one worker of each fits: such a pipeline would wait for ever.
    """
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    for need in needs:
        if not any(n.get("CPU", 0) >= need.cpus and n.get("GPU", 0) >= need.gpus for n in nodes):
            raise ValueError(f"cluster: no node has the {need.as_text()} that one worker holds")
    cpus = sum(n.get("CPU", 0) for n in nodes) - sum(need.cpus for need in needs)
    gpus = sum(n.get("GPU", 0) for n in nodes) - sum(need.gpus for need in needs)
    if cpus < 0 or gpus < 0:
        together = Resources(sum(n.cpus for n in needs), sum(n.gpus for n in needs))
        raise ValueError(f"cluster: {together.as_text()} are held at the same time, more than all nodes have")
    sizes = [1] * len(needs)
    while True:
        fits = [
            i
            for i, n in enumerate(needs)
            if sizes[i] < parts and n.cpus <= cpus and n.gpus <= gpus and (n.cpus or n.gpus)
        ]
        if not fits:
            return [min(parts, max(sizes)) if not (n.cpus or n.gpus) else s for n, s in zip(needs, sizes, strict=True)]
        chosen = min(fits, key=lambda i: (needs[i].gpus == 0, sizes[i]))
        sizes[chosen] += 1
        cpus -= needs[chosen].cpus
        gpus -= needs[chosen].gpus


def pools_of(stage: Stage) -> list[tuple[list[Step], Resources]]:
    """The pools a stage runs in, in order, with what one worker of each holds."""
    pools = [(group, needs_of(group)) for group in groups_of(stage.steps)]
    if pools[-1][1].gpus:
        pools.append(([], Resources(0.0)))  # files are written beside the accelerator, which goes on
    return pools


def run_parts(
    stage: Stage, root: str, parts: Sequence[str], source: ray.data.Dataset | None = None
) -> Iterator[Completion]:
    """Run `stage` over `parts` (or over what `source` yields: rows with `part` and `payload`), as they complete.

    A worker that raises ends the iteration with its exception; one that dies is started again.
    """
    if source is None:
        source = ray.data.from_items([{"part": p} for p in parts], override_num_blocks=min(len(parts), MAX_BLOCKS))
    pools = pools_of(stage)
    sizes = pool_sizes([needs for _, needs in pools], len(parts))
    dataset = source
    for number, ((group, needs), size) in enumerate(zip(pools, sizes, strict=True)):
        given = (stage, group, number, root, number == 0, number == len(pools) - 1)
        held = {"num_cpus": needs.cpus, "num_gpus": needs.gpus, "runtime_env": {"env_vars": thread_environment()}}
        if len(pools) == 1:  # without a GPU: see `pools_of`
            dataset = dataset.map(_InAnyWorker(uuid.uuid4().hex, given), compute=TaskPoolStrategy(size=size), **held)
        else:
            pool = ActorPoolStrategy(min_size=1, max_size=size, initial_size=size)
            dataset = dataset.map(_Packed, fn_constructor_args=given, compute=pool, **held)
    for row in dataset.iter_rows():
        if row["failure"]:
            raise unpack_failure(row["failure"])
        yield Completion(**orjson.loads(row["completion"]))


class _Packed(PartWorker):
    """A `PartWorker` whose results and exceptions travel as rows.

    Ray loses an exception's cause and type on its way; as a row it arrives whole, and the driver raises it.
    """

    def __init__(self, stage: Stage, steps: Sequence[Step], group: int, root: str, first: bool, last: bool) -> None:
        from kartoteka.telemetry import quiet_worker

        quiet_worker()
        super().__init__(stage, steps, group, root, first, last)

    def __call__(self, row: dict[str, object]) -> dict[str, object]:
        failure = row.get("failure") or b""
        result: dict[str, object] = {}
        if not failure:
            try:
                result = super().__call__(row)
            except Exception as error:
                failure = pack_failure(error)
        if self.last:
            return {"completion": orjson.dumps(result.get("completion")), "failure": failure}
        return (result or State.EMPTY) | {"failure": failure}


@dataclass(frozen=True)
class _InAnyWorker:
    """A `_Packed` in whichever process of Ray takes a part: made once in each, and kept.

    An actor would be a new process for every stage, and take 2 s of CPU before its first part.
    """

    name: str
    given: tuple[Any, ...]

    def __call__(self, row: dict[str, object]) -> dict[str, object]:
        packed = _kept.take(self.name)
        if packed is None:
            packed = _Packed(*self.given)
        try:
            return packed(row)
        finally:
            _kept.put(self.name, packed)


class _Kept:
    """The worker that this process has open, for the next part of the same stage.

    Models and indexes are large: it is let go when anything else is asked for, and when nothing is for a minute.
    """

    SECONDS = 60.0

    def __init__(self) -> None:
        self._held: tuple[str, _Packed] | None = None
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None

    def take(self, name: str | None = None) -> _Packed | None:
        """What is held if it has this name, else nothing; either way it is not held any more."""
        with self._lock:
            held, self._held = self._held, None
            if self._timer is not None:
                self._timer.cancel()
        if held is None:
            return None
        if held[0] == name:
            return held[1]
        del held
        gc.collect()  # before another is opened
        return None

    def put(self, name: str, packed: _Packed) -> None:
        """Hold it until it is taken."""
        with self._lock:
            self._held = name, packed
            self._timer = threading.Timer(self.SECONDS, self.take)
            self._timer.daemon = True
            self._timer.start()


_kept = _Kept()


def run_tasks(
    root: str,
    tasks: dict[str, Callable[[Storage], Completion]],
    commit: Callable[[Storage, Completion], None],
    cpus: float = 1.0,
) -> Iterator[Completion]:
    """Run named tasks on the cluster, as many at a time as fit; each commits its own completion.

    For work that is not made of rows: merging statistics, building one index shard, fitting the ranker.
    """
    limit = pool_sizes([Resources(cpus)], len(tasks))[0]
    remote = ray.remote(num_cpus=cpus, max_retries=3, runtime_env={"env_vars": thread_environment()})(_run_task)
    waiting = list(tasks.items())
    running: list[ray.ObjectRef] = []
    while waiting or running:
        while waiting and len(running) < limit:
            name, task = waiting.pop(0)
            running.append(remote.remote(root, name, task, commit))
        ready, running = ray.wait(running, num_returns=1)
        yield ray.get(ready[0])


def apart(function: Callable[..., Any], *arguments: object) -> Any:
    """Call `function` in a worker, or in this process where no cluster is connected."""
    return ray.get(ray.remote(function).remote(*arguments)) if ray.is_initialized() else function(*arguments)


def _run_task(
    root: str, name: str, task: Callable[[Storage], Completion], commit: Callable[[Storage, Completion], None]
) -> Completion:
    import dataclasses
    import time

    from kartoteka.telemetry import quiet_worker

    quiet_worker()
    _kept.take()
    storage = Storage(root)
    clock, cpu = time.time(), time.process_time()
    completion = dataclasses.replace(
        task(storage),
        part=name,
        seconds=time.time() - clock,
        cpu_seconds=time.process_time() - cpu,
        finished=time.time(),
    )
    commit(storage, completion)
    return completion
