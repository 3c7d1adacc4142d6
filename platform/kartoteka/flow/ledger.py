"""Completions: what of a build is done. One small file a part, renamed into place after the part's own files.

A completion is the only thing that says "done". Files of a part without one are overwritten by the next attempt with
equal bytes, so a crash between the two costs one part and changes nothing.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from kartoteka.edition import BUILD
from kartoteka.storage import Storage, StoredFile


@dataclass(frozen=True, slots=True)
class Completion:
    """What one part of one stage did.

    `seconds` and `cpu_seconds` are the part's own; `finished` is Unix time; `deaths` counts the workers that died of it
    or over it; `facts` are counters that add up over
    parts (nested dictionaries of whole numbers); `files` belong to the edition.
    """

    part: str
    rows_in: int = 0
    rows_out: int = 0
    quarantined: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    finished: float = 0.0
    deaths: int = 0
    facts: dict[str, Any] = field(default_factory=dict)
    files: dict[str, dict[str, Any]] = field(default_factory=dict)


class Ledger:
    """The completions of one build, by stage and part."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage

    def done(self, stage: str) -> dict[str, Completion]:
        """The completions of `stage` by part name, in name order."""
        names = self.storage.list(f"{BUILD}/done/{stage}", ".json")
        return {c.part: c for c in (Completion(**self.storage.get_json(name)) for name in names)}

    def done_part(self, stage: str, part: str) -> Completion:
        """The completion of one part. Raises `FileNotFoundError`."""
        return Completion(**self.storage.get_json(self._name(stage, part)))

    def is_done(self, stage: str, part: str) -> bool:
        """Whether `part` of `stage` is complete."""
        return self.storage.exists(self._name(stage, part))

    def commit(self, stage: str, completion: Completion) -> None:
        """Say that the part is done; its files must be in place."""
        self.storage.put_json(self._name(stage, completion.part), asdict(completion))

    def begin(self, stage: str, part: str) -> int:
        """Note that an attempt at `part` begins; returns how many began before and did not end."""
        deaths = 0
        while self.storage.exists(name := f"{BUILD}/attempts/{stage}/{part}.{deaths}"):
            deaths += 1
        self.storage.put(name, b"")
        return deaths

    def end(self, stage: str, part: str) -> None:
        """Forget the attempts at a part that is through."""
        attempt = 0
        while self.storage.exists(name := f"{BUILD}/attempts/{stage}/{part}.{attempt}"):
            self.storage.delete(name)
            attempt += 1

    @staticmethod
    def _name(stage: str, part: str) -> str:
        return f"{BUILD}/done/{stage}/{part}.json"


def add_facts(total: dict[str, Any], facts: dict[str, Any]) -> dict[str, Any]:
    """Add nested counters into `total`, in place; returns it."""
    for key, value in facts.items():
        if isinstance(value, dict):
            add_facts(total.setdefault(key, {}), value)
        else:
            total[key] = total.get(key, 0) + value
    return total


def files_of(files: dict[str, StoredFile]) -> dict[str, dict[str, Any]]:
    """Stored files as a completion holds them."""
    return {name: stored.as_dict() for name, stored in files.items()}


def wall_seconds(completions: list[Completion]) -> float:
    """The time during which at least one of the parts was being worked on: the union of their intervals.

    It needs no clock of the driver, so it survives any number of interrupted runs.
    """
    total = end = 0.0
    for start, stop in sorted((c.finished - c.seconds, c.finished) for c in completions):
        total += max(0.0, stop - max(start, end))
        end = max(end, stop)
    return total
