"""Connecting to Ray: the cluster one is on, the one that is named, or one of this machine's own."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

#: Object store of a cluster that lives for one command. A part is a few megabytes; nothing else passes through it.
OBJECT_STORE_BYTES = 512 << 20


@contextmanager
def connected(address: str | None = None, cpus: int | None = None) -> Iterator[None]:
    """Be connected to Ray inside the block.

    `address`: a cluster's address, or None: the cluster of the surrounding job (`ray job submit`) or of `RAY_ADDRESS`,
    else a cluster of this machine's own with `cpus` CPUs (None: all), which ends with the block.

    Raises `ValueError` when the named cluster does not answer.
    """
    os.environ.setdefault("RAY_DATA_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_DEDUP_LOGS", "0")
    # What Ray's processes say stays in Ray's own logs; what a user must know of it, the flow says itself.
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    import ray

    from kartoteka.flow.execute import configure_ray_data

    if ray.is_initialized():  # a test session, or a caller's own connection
        configure_ray_data()
        yield
        return
    named = address or os.environ.get("RAY_ADDRESS")
    try:
        with _hushed():
            if named:
                ray.init(address=named, log_to_driver=False, logging_level=logging.ERROR, runtime_env=source_root())
            else:
                ray.init(
                    num_cpus=cpus,
                    include_dashboard=False,
                    log_to_driver=False,
                    logging_level=logging.ERROR,
                    object_store_memory=OBJECT_STORE_BYTES,
                    _temp_dir=_temporary(),
                    runtime_env=source_root(),
                )
    except (ConnectionError, RuntimeError) as error:
        raise ValueError(f"cluster: cannot connect to {named or 'a local Ray'}: {error}") from None
    try:
        configure_ray_data()
        yield
    finally:
        ray.shutdown()


@contextmanager
def _hushed() -> Iterator[None]:
    """Keep what Ray's native code writes to stderr while it starts; give it back when starting fails."""
    with tempfile.TemporaryFile() as kept:
        real = os.dup(2)
        os.dup2(kept.fileno(), 2)
        try:
            yield
        except BaseException:
            kept.seek(0)
            os.write(real, kept.read())
            raise
        finally:
            os.dup2(real, 2)
            os.close(real)


def source_root() -> dict[str, object]:
    """Let workers import the library from a checkout that is not installed (`ray job submit --working-dir .`)."""
    import kartoteka

    root = Path(kartoteka.__file__).parents[1]
    if root.name != "platform":
        return {}
    if "RAY_JOB_ID" in os.environ or "RAY_JOB_CONFIG_JSON_ENV_VAR" in os.environ:
        return {"env_vars": {"PYTHONPATH": "platform"}}  # relative to the job's own working directory on each node
    given = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    return {"env_vars": {"PYTHONPATH": os.pathsep.join(dict.fromkeys([*given, str(root), str(root.parent)]))}}


def _temporary() -> str:
    """A short folder for Ray's sockets, one per user: a Unix socket's path holds about 100 characters."""
    return os.environ.get("RAY_TMPDIR") or os.path.join(tempfile.gettempdir(), f"ray-kartoteka-{os.getuid()}")


def describe() -> list[dict[str, float | str]]:
    """The nodes that are alive: name, CPUs, GPUs and memory in GiB, for a plan."""
    import ray

    return [
        {
            "node": node["NodeManagerHostname"],
            "cpus": node["Resources"].get("CPU", 0.0),
            "gpus": node["Resources"].get("GPU", 0.0),
            "memory_gib": round(node["Resources"].get("memory", 0.0) / (1 << 30), 1),
        }
        for node in ray.nodes()
        if node["Alive"]
    ]


def most_cpus() -> int:
    """CPUs of the node that is alive and has most, at least 1."""
    return max([1, *(int(node["cpus"]) for node in describe())])


def has_gpus() -> bool:
    """Whether any node that is alive has a GPU."""
    return any(node["gpus"] for node in describe())
