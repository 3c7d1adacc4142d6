"""A training run from outside: begun or resumed, followed, and finished with a model, a card and a report.

RUN/
  run.json          configuration, data, state; "finished" when all below is there
  data/             what the task prepared
  checkpoints/      the newest, complete ones
  best/             the weights of the best validation
  metrics.parquet   all figures by step, and metrics.csv
  model/            the exported model, with its card README.md
  report.html       curves
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
from rich.console import Console

from kartoteka.energy import EnergyMeter
from kartoteka.folders import whole_folder
from kartoteka.settings import Settings
from kartoteka.storage import Storage
from kartoteka.training import checkpoints, metrics
from kartoteka.training.follow import Follower
from kartoteka.training.loop import FAILURE, PROGRESS, Work, train_worker
from kartoteka.training.modelcard import write_card
from kartoteka.training.report import write_report
from kartoteka.training.settings import TrainingSettings, WorkerSettings
from kartoteka.training.task import Task

RUN, MODEL = "run.json", "model"
#: Ray Train's own notes on the run; nothing of ours depends on them.
_RAY = ".ray"
#: jemalloc's options: pages of 2 MiB; nothing is given back; one arena for all threads, of large blocks too, in which
#: a block may be cut from a free one of any size. By default not from one of more than 64 times its size: then what is
#: kept grows by 100 MB a step.
_KEEP = "thp:always,dirty_decay_ms:-1,muzzy_decay_ms:-1,narenas:1,oversize_threshold:0,lg_extent_max_active_fit:20"


def train(
    task: Task,
    settings: TrainingSettings,
    workers: WorkerSettings,
    run: Storage,
    console: Console,
    *,
    resume: bool,
    command: str,
) -> dict[str, Any]:
    """Train to the end, connected to Ray; returns what `run.json` says.

    Raises `ValueError`: the run exists and is not to be resumed, or there is none to resume, or it has another
    configuration or other data; the cluster has no room for the workers; a loss was no number. Raises `RuntimeError`
    when workers died more often than they may. The last checkpoint stays in every case.
    """
    plan = {"task": describe(task), "training": settings.model_dump()}
    begun = _begun(run, plan, resume)
    if begun.get("state") == "finished":
        console.print(f"{run.uri} is finished: nothing to do")
        return begun
    check_room(workers)
    run.check_writable()
    data = task.prepare(run)
    if begun and begun["data"] != data:
        raise ValueError(f"run: {run.uri} was begun on other data ({_differing(begun['data'], data)})")
    about = begun or {**plan, "data": data, "state": "running", "command": command}
    run.put_json(RUN, about)
    run.delete(FAILURE)
    with EnergyMeter() as meter, _followed(run, console):
        # A path of this process's own folder is another place for a worker, whose folder is Ray's
        _fit(Work(run.whole(), task, settings, workers), run)
    if run.exists(FAILURE):
        raise ValueError(run.get_json(FAILURE)["message"])
    return _finish(task, workers, run, about, meter)


def describe(task: Task) -> dict[str, Any]:
    """The values that a task is made of, but for those that only say where it runs."""
    values = {f.name: getattr(task, f.name) for f in dataclasses.fields(task) if f.compare}
    return {"name": task.name} | {k: v.model_dump() if isinstance(v, Settings) else v for k, v in values.items()}


def check_room(workers: WorkerSettings) -> None:
    """Raise `ValueError` when the connected cluster could never hold the workers: Ray would wait for ever."""
    import ray

    total = ray.cluster_resources()
    for name, each in (("CPU", workers.cpus), ("GPU", float(workers.gpu))):
        if each * workers.count > total.get(name, 0.0):
            raise ValueError(
                f"workers: {workers.count} need {each * workers.count:g} {name}; the cluster has {total.get(name, 0):g}"
            )


def _begun(run: Storage, plan: dict[str, Any], resume: bool) -> dict[str, Any]:
    """What is known of the run; empty for a new one."""
    if not run.exists(RUN):
        if resume:
            raise ValueError(f"run: nothing to resume in {run.uri}")
        return {}
    begun = run.get_json(RUN)
    if not resume:
        raise ValueError(f"run: {run.uri} exists; say --resume to go on with it, or choose another path")
    plan = orjson.loads(orjson.dumps(plan))
    if odd := _differing({key: begun.get(key) for key in plan}, plan):
        raise ValueError(f"run: {run.uri} has another configuration ({odd}); it is resumed only with an equal one")
    return begun


def _differing(old: Any, new: Any, path: str = "") -> str:
    """The first value that differs, as `training.seed: 0 is now 1`; empty when none does."""
    if isinstance(old, dict) and isinstance(new, dict):
        found = (_differing(old.get(k), new.get(k), f"{path}.{k}" if path else k) for k in sorted({*old, *new}))
        return next(filter(None, found), "")
    return f"{path}: {old!r} is now {new!r}" if old != new else ""


def _fit(work: Work, run: Storage) -> None:
    """Run the workers, again after a death, each time from the newest checkpoint."""
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchConfig, TorchTrainer
    from ray.train.v2.api.exceptions import TrainingFailedError

    workers = work.workers
    notes = Path(run.path(_RAY)) if run.is_local else run.path(_RAY)
    trainer = TorchTrainer(
        train_worker,
        train_loop_config={"work": work},
        torch_config=TorchConfig(backend="nccl" if workers.gpu else "gloo"),
        scaling_config=ScalingConfig(
            num_workers=workers.count, use_gpu=workers.gpu, resources_per_worker={"CPU": workers.cpus}
        ),
        run_config=RunConfig(
            # A name of its own for every start: Ray Train would take up a run of the same name by itself.
            name=hashlib.sha256(os.urandom(16)).hexdigest()[:16],
            storage_path=str(notes),
            storage_filesystem=None if run.is_local else run.fs,
            failure_config=FailureConfig(max_failures=workers.restarts),
            worker_runtime_env={"env_vars": worker_environment(workers)},
        ),
    )
    try:
        trainer.fit()
    except TrainingFailedError as error:
        failures = getattr(error, "worker_failures", None) or {0: error}
        last = " ".join(str(next(iter(failures.values()))).split())
        raise RuntimeError(f"training: workers failed; --resume goes on from the last checkpoint: {last}") from None
    finally:
        if run.is_local:
            shutil.rmtree(notes, ignore_errors=True)


def worker_environment(workers: WorkerSettings) -> dict[str, str]:
    """Environment variables of the workers.

    Memory comes from the jemalloc that Ray brings, in pages of 2 MiB where the system has them, and what a step frees
    is kept for the next. Tensors are aligned blocks of many sizes: glibc's lists of free ones grow until a fifth of a
    step is spent walking them. Where there is no jemalloc, glibc is told to keep what is smaller than 32 MiB, the most
    that it takes: what is given back must be asked for again, page by page.
    """
    threads, kept = str(workers.threads), str(32 << 20)
    tuned = ":".join(filter(None, [os.environ.get("GLIBC_TUNABLES"), "glibc.malloc.hugetlb=1"]))
    allocator = {}
    if jemalloc := _jemalloc():
        allocator["LD_PRELOAD"] = ":".join(filter(None, [os.environ.get("LD_PRELOAD"), jemalloc]))
        allocator["MALLOC_CONF"] = ",".join(filter(None, [_KEEP, os.environ.get("MALLOC_CONF")]))
    return allocator | {
        "DS_ACCELERATOR": "cuda" if workers.gpu else "cpu",
        "OMP_NUM_THREADS": threads,
        "MKL_NUM_THREADS": threads,
        "NUMBA_NUM_THREADS": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "MALLOC_MMAP_THRESHOLD_": kept,
        "MALLOC_TRIM_THRESHOLD_": kept,
        "GLIBC_TUNABLES": tuned,
    }


def _jemalloc() -> str | None:
    """Where Ray has its jemalloc; on a machine that has none there, the loader says so and goes on without."""
    import ray

    library = Path(ray.__file__).parent / "core" / "libjemalloc.so"
    return str(library) if library.exists() and not set(str(library)) & set(": ") else None  # the loader's separators


@contextmanager
def _followed(run: Storage, console: Console) -> Iterator[None]:
    """Show what the workers say of their progress while the block runs."""
    stop = threading.Event()
    run.delete(PROGRESS)
    follower = threading.Thread(target=Follower(run, console).follow, args=(stop,), daemon=True)
    follower.start()
    try:
        yield
    finally:
        stop.set()
        follower.join()


def _finish(
    task: Task, workers: WorkerSettings, run: Storage, about: dict[str, Any], meter: EnergyMeter
) -> dict[str, Any]:
    """Export the best weights, write card and report; the description last."""
    from kartoteka.training.engine import restore

    weights, best = checkpoints.best(run)
    state = checkpoints.newest_state(run)
    energy = meter.energy(state.cpu_seconds)
    about |= {
        "state": "finished",
        "steps": state.step,
        "best": {"step": best["step"], **best["figures"]},
        "seconds": round(state.seconds, 1),
        "cpu_seconds": round(state.cpu_seconds, 1),
        "energy_wh": round(energy.wh, 3),
        "energy_how": energy.how,
        "workers": workers.count,
        "device": "gpu" if workers.gpu else "cpu",
    }
    table = metrics.write_whole(run)
    module = task.build(run)
    restore(module, weights)
    with run.folder(MODEL, whole=True) as place, whole_folder(place) as folder:
        task.export(run, module.eval(), folder)
        write_card(folder, task.card(run), about)
    write_report(run, task, about, table)
    run.put_json(RUN, about)
    return about
