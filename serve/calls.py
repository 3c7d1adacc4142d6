"""Calls of deployments: cancelled with the request they are for, and those of the encoder gathered where they are made.

A call of a deployment costs both sides about two milliseconds, more than encoding a title. So what waits while calls of
the encoder are under way goes out as one. There is no timer: a lone call leaves at once, and the busier the encoder is,
the more go together.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections import deque
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from ray.serve.handle import DeploymentHandle, DeploymentResponse

from serve.editions import Context, EditionRef
from serve.encoder import Encoded, Whose
from serve.problems import busy
from serve.settings import AppSettings

#: Characters of a token, about: what goes out together is bounded before it is tokenised.
_CHARACTERS = 4


async def answer(response: DeploymentResponse) -> Any:
    """What a call gives; it is cancelled where its work goes on when nobody waits here any more.

    Awaiting a response alone leaves a call that a replica has accepted to run to its end.
    """
    try:
        return await response
    except asyncio.CancelledError:
        response.cancel()
        raise


@dataclass(slots=True)
class _Waiting:
    context: Context
    texts: list[str]
    future: asyncio.Future[Encoded]


class EncoderCalls:
    """The encoder as a deployment's replica asks it."""

    def __init__(self, encoder: DeploymentHandle, settings: AppSettings) -> None:
        self.encoder = encoder
        self._most = settings.batch_tokens * _CHARACTERS
        self._free = settings.encoder_calls
        self._lines: dict[tuple[EditionRef, Whose], deque[_Waiting]] = {}
        self._running: set[asyncio.Task[None]] = set()

    async def encode(self, context: Context, texts: list[str], whose: Whose = "encoder") -> Encoded:
        """Vectors of `texts`; raises what the call of the encoder raises."""
        waiting = _Waiting(context, texts, asyncio.get_running_loop().create_future())
        self._lines.setdefault((context.edition, whose), deque()).append(waiting)
        self._send()
        return await waiting.future

    def _send(self) -> None:
        """Send what waits, as far as calls may leave: one call of each line in turn."""
        while self._lines and self._free:
            key = next(iter(self._lines))
            line = self._lines.pop(key)
            some = self._together(line)
            if line:
                self._lines[key] = line  # behind the others
            if some:
                self._free -= 1
                # A context of its own: the call is not a part of the request that happens to send it, nor ends with it.
                task = asyncio.create_task(self._call(some, key[1]), context=contextvars.Context())
                self._running.add(task)
                task.add_done_callback(self._running.discard)

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
        texts = [text for one in some for text in one.texts]
        context = Context(some[0].context.edition, tuple(t for one in some for t in one.context.traces))
        response = self.encoder.encode.remote(context, texts, whose)

        def left(_: asyncio.Future[Encoded]) -> None:
            if all(one.future.cancelled() for one in some):
                response.cancel()

        for one in some:
            one.future.add_done_callback(left)
        try:
            found = await response
            stops = accumulate(len(one.texts) for one in some)
            for one, stop in zip(some, stops, strict=True):
                if not one.future.done():
                    one.future.set_result(found.slice(stop - len(one.texts), stop))
        except (Exception, asyncio.CancelledError) as error:
            lost = isinstance(error, asyncio.CancelledError)  # not by those who still wait
            for one in some:
                if not one.future.done():
                    one.future.set_exception(busy("a part of the service is being replaced") if lost else error)
        finally:
            self._free += 1
            self._send()
