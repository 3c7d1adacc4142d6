"""Asking under load: threads that go on asking until they are told to stop, and everything they were answered."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from kartoteka.client import Client


@dataclass
class Heard:
    """What was asked and answered, and what failed in spite of the client's retries."""

    answers: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    failures: list[Exception] = field(default_factory=list)


@contextmanager
def asking(
    url: str, key: str | None, ask: Callable[[Client, int], dict[str, Any]], threads: int = 6
) -> Iterator[Heard]:
    """Ask `ask(client, number)` from several threads while the block runs."""
    heard, stop = Heard(), threading.Event()

    def loop(first: int) -> None:
        with Client(url, key, timeout=90, retries=10) as client:
            number = first
            while not stop.is_set():
                try:
                    heard.answers.append((number, ask(client, number)))
                except Exception as error:
                    heard.failures.append(error)
                number += threads

    with ThreadPoolExecutor(threads) as pool:
        running = [pool.submit(loop, first) for first in range(threads)]
        try:
            yield heard
        finally:
            stop.set()
        for one in running:
            one.result()
