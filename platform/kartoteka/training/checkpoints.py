"""Checkpoints: plain tensors by name in safetensors files, whole or absent.

Ray Train loses a checkpoint whose worker dies right after reporting it, and takes up a run of the same name unasked;
so a run's checkpoints are its own: a folder each, complete when its description is there, which is written last.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from kartoteka.storage import Storage

FOLDER = "checkpoints"
BEST = "best"
#: The files of a checkpoint, beside its description.
WEIGHTS, MOMENTS = "weights.safetensors", "moments.safetensors"
_STATE = "state.json"


@dataclass(frozen=True, slots=True)
class State:
    """What a run knows after `step` optimizer steps, besides tensors.

    `best`: the best validation so far (None: none yet), `since`: validations since then; seconds are of work done, not
    counting what a kill threw away.
    """

    step: int
    best: float | None = None
    best_step: int = 0
    since: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A state with its weights and moments (see `engine.Engine`)."""

    state: State
    weights: dict[str, torch.Tensor]
    moments: dict[str, torch.Tensor]


def put(run: Storage, state: State, tensors: Iterable[tuple[str, dict[str, torch.Tensor]]], keep: int) -> None:
    """Write a checkpoint, then remove all but the newest `keep`. Raises `OSError` (a full disk).

    `tensors`: what goes into `WEIGHTS` and `MOMENTS`; each is let go before the next is asked for.
    """
    name = f"{FOLDER}/step-{state.step:08d}"
    files = {}
    for file, some in tensors:
        files[file] = run.put(f"{name}/{file}", save(some))
        del some
    sizes = {file: stored.as_dict() for file, stored in files.items()}
    run.put_json(f"{name}/{_STATE}", {"state": asdict(state), "files": sizes})
    for old in folders(run)[:-keep]:
        run.delete(f"{old}/{_STATE}")  # first: without it, it is no checkpoint
        run.delete(old)


def folders(run: Storage) -> list[str]:
    """The folders of complete checkpoints, oldest first."""
    found = run.list(FOLDER, suffix=f"/{_STATE}", recursive=True)
    return [name.removesuffix(f"/{_STATE}") for name in found]


def newest(run: Storage) -> Checkpoint | None:
    """The newest complete checkpoint; None where there is none.

    Raises `ValueError` naming the file that is torn or foreign.
    """
    found = folders(run)
    return read(run, found[-1]) if found else None


def newest_state(run: Storage) -> State:
    """The state of the newest complete checkpoint, of which there is one; without its tensors."""
    return _state(run, folders(run)[-1])[0]


def read(run: Storage, name: str) -> Checkpoint:
    """The checkpoint in folder `name`. Raises `ValueError` naming the file that is torn or foreign."""
    state, files = _state(run, name)
    return Checkpoint(state, *(_tensors(run, f"{name}/{file}", files[file]) for file in (WEIGHTS, MOMENTS)))


def _state(run: Storage, name: str) -> tuple[State, dict[str, Any]]:
    about = _json(run, f"{name}/{_STATE}")
    try:
        return State(**about["state"]), {file: about["files"][file] for file in (WEIGHTS, MOMENTS)}
    except (KeyError, TypeError):
        raise ValueError(f"checkpoint: {run.path(name)}/{_STATE} is not a checkpoint's") from None


def put_best(run: Storage, weights: dict[str, torch.Tensor], step: int, figures: dict[str, float]) -> None:
    """Keep the weights of the best validation so far."""
    name = f"{BEST}/step-{step:08d}.safetensors"
    stored = run.put(name, save(weights))
    run.put_json(f"{BEST}/best.json", {"step": step, "figures": figures, "file": name, "stored": stored.as_dict()})
    for old in run.list(BEST, suffix=".safetensors"):
        if old != name:
            run.delete(old)


def best(run: Storage) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """The best weights and what is known of them: `step` and `figures`. Raises `ValueError` as `read` does."""
    about = _json(run, f"{BEST}/best.json")
    return _tensors(run, about["file"], about["stored"]), about


def _json(run: Storage, name: str) -> Any:
    try:
        return run.get_json(name)
    except (OSError, ValueError) as error:
        raise ValueError(f"checkpoint: cannot read {run.path(name)}: {error}") from None


def _tensors(run: Storage, name: str, stored: dict[str, Any]) -> dict[str, torch.Tensor]:
    try:
        data = run.get(name)
        if len(data) != stored["bytes"]:
            raise ValueError(f"{len(data)} bytes of {stored['bytes']}")
        return load(data)
    except (OSError, ValueError, SafetensorError) as error:
        raise ValueError(f"checkpoint: {run.path(name)} is torn or foreign: {error}") from None
