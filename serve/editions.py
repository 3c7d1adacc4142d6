"""Which edition a request is answered from, and what a replica keeps open for it.

Every call between deployments names its edition. So it does not matter in which order replicas take up a new one: a
request is answered from one edition from end to end, and a replica that is asked for one it has not opened opens it.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Generic, TypeVar

from kartoteka import edition
from kartoteka.online.opened import edition_digest
from kartoteka.telemetry import carrier

T = TypeVar("T")
#: The edition that is served, and the one before it, or the one to come.
HELD = 2
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class EditionRef:
    """An edition by its path, and by the SHA-256 of its manifest: a folder written anew is another edition."""

    path: str
    digest: str

    @staticmethod
    def of(path: str) -> EditionRef:
        """The edition in `path`. Raises `ValueError`: there is none."""
        return EditionRef(edition.open(path).path, edition_digest(path))

    @property
    def name(self) -> str:
        """What answers call it: the last part of its path."""
        return self.path.rstrip("/").rsplit("/", 1)[-1]

    def check(self) -> None:
        """Raise `ValueError` when the folder does not hold this edition any more."""
        if edition_digest(self.path) != self.digest:
            raise ValueError(f"edition: {self.name} was written anew; promote it again")

    def as_dict(self) -> dict[str, str]:
        """The same as a deployment's `user_config`."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Context:
    """What goes with every call between deployments: the edition, and the traces that the call is part of."""

    edition: EditionRef
    traces: tuple[dict[str, str], ...]

    @staticmethod
    def here(ref: EditionRef) -> Context:
        """The context of a call made inside the current span."""
        return Context(ref, (carrier(),))


class Held(Generic[T]):
    """What a replica has opened, by edition: the last `HELD` that were asked for."""

    def __init__(self, open_edition: Callable[[EditionRef], T]) -> None:
        self._open = open_edition
        self._opened: OrderedDict[EditionRef, asyncio.Task[T]] = OrderedDict()

    async def get(self, ref: EditionRef) -> T:
        """What belongs to `ref`, opened once however many ask. Raises `ValueError`: it cannot be opened."""
        task = self._opened.get(ref)
        if task is None:
            task = self._opened[ref] = asyncio.create_task(asyncio.to_thread(self._checked, ref))
        try:
            found = await asyncio.shield(task)
        except Exception:
            if self._opened.get(ref) is task:
                del self._opened[ref]
            raise
        if ref in self._opened:
            self._opened.move_to_end(ref)
            while len(self._opened) > HELD:
                self._opened.popitem(last=False)
        return found

    async def take_up(self, config: dict[str, Any]) -> None:
        """Open the edition of a `user_config`; one that cannot be opened leaves what is held as it is.

        Raises `ValueError` when nothing is held: a replica that can do nothing must not start.
        """
        ref = EditionRef(**config)
        try:
            await self.get(ref)
        except Exception:
            if not self._opened:
                raise
            _log.exception("edition %s is refused", ref.name)

    def _checked(self, ref: EditionRef) -> T:
        ref.check()
        return self._open(ref)
