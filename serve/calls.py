"""Calls of the encoder, gathered where they are made: what waits while calls are under way goes out as one.

A call of a deployment costs both sides about two milliseconds, more than encoding a title. Gathering without a timer: a
lone call leaves at once, and the busier the encoder is, the more go together.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass

import numpy as np
from ray.serve.handle import DeploymentHandle

from serve.editions import Context, EditionRef
from serve.encoder import Whose
from serve.settings import AppSettings

#: Characters of a token, about: what goes out together is bounded before it is tokenised.
_CHARACTERS = 4


@dataclass(slots=True)
class _Waiting:
    context: Context
    texts: list[str]
    future: asyncio.Future[np.ndarray]


class EncoderCalls:
    """The encoder as a deployment's replica asks it."""

    def __init__(self, encoder: DeploymentHandle, settings: AppSettings) -> None:
        self.encoder = encoder
        self._most = settings.batch_tokens * _CHARACTERS
        self._free = settings.encoder_calls
        self._lines: dict[tuple[EditionRef, Whose], deque[_Waiting]] = {}
        self._running: set[asyncio.Task[None]] = set()

    async def encode(self, context: Context, texts: list[str], whose: Whose = "encoder") -> np.ndarray:
        """Vectors float32 [n, d]; raises what the call of the encoder raises."""
        waiting = _Waiting(context, texts, asyncio.get_running_loop().create_future())
        self._lines.setdefault((context.edition, whose), deque()).append(waiting)
        self._send()
        return await waiting.future

    def _send(self) -> None:
        """Send what waits, as far as calls may leave."""
        for (_, whose), line in list(self._lines.items()):
            while line and self._free:
                self._free -= 1
                task = asyncio.create_task(self._call(self._together(line), whose))
                self._running.add(task)
                task.add_done_callback(self._running.discard)
        self._lines = {key: line for key, line in self._lines.items() if line}

    def _together(self, line: deque[_Waiting]) -> list[_Waiting]:
        """The first of the line, and those behind it that fit; nobody waits for the vectors of a cancelled one."""
        some: list[_Waiting] = []
        size = 0
        while line:
            if not line[0].future.done():
                size += sum(map(len, line[0].texts))
                if some and size > self._most:
                    break
                some.append(line[0])
            line.popleft()
        return some

    async def _call(self, some: list[_Waiting], whose: Whose) -> None:
        try:
            if some:
                texts = [text for one in some for text in one.texts]
                context = Context(some[0].context.edition, tuple(t for one in some for t in one.context.traces))
                found = await self.encoder.encode.remote(context, texts, whose)
                bounds = np.cumsum([len(one.texts) for one in some])[:-1]
                for one, vectors in zip(some, np.split(found, bounds), strict=True):
                    if not one.future.done():
                        one.future.set_result(vectors)
        except BaseException as error:
            for one in some:
                if not one.future.done():
                    one.future.set_exception(error)
            if not isinstance(error, Exception):
                raise
        finally:
            self._free += 1
            self._send()
