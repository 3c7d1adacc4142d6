"""How much one replica takes on: the size of a body, requests in progress, and the time of each.

A plain ASGI application around another: what is refused is refused before a byte of it is parsed.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve.problems import Problem, busy
from serve.settings import AppSettings

DEADLINE = "X-Request-Timeout"
#: What an operator asks of a service that is full.
EXEMPT = frozenset({"/healthz", "/readyz", "/metrics", "/version"})


class Limits:
    """Middleware: 413 for too large a body, 503 at once above capacity, 504 after the deadline, and the work cancelled.

    A client sets its own deadline with `X-Request-Timeout: SECONDS`, up to the service's maximum.
    """

    def __init__(self, app: ASGIApp, settings: AppSettings) -> None:
        self._app = app
        self._settings = settings
        self._in_progress = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or pass it on."""
        if scope["type"] != "http" or scope["path"] in EXEMPT:
            await self._app(scope, receive, send)
            return
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._bounded(scope, receive, watched)
        except Problem as problem:
            if started:
                raise
            await problem.response()(scope, receive, send)

    async def _bounded(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._in_progress >= self._settings.max_in_progress:
            raise busy("the service is at capacity")
        headers = Headers(scope=scope)
        seconds = self._seconds(headers)
        self._in_progress += 1
        try:
            async with asyncio.timeout(seconds) as deadline:
                receive = await self._body(headers, receive)
                await self._app(scope, receive, send)
        except TimeoutError:
            if not deadline.expired():
                raise
            raise Problem(504, f"not done within {seconds:g} s", slug="deadline") from None
        finally:
            self._in_progress -= 1

    def _seconds(self, headers: Mapping[str, str]) -> float:
        """The time this request may take."""
        asked = headers.get(DEADLINE)
        if asked is None:
            return self._settings.timeout_s
        try:
            seconds = float(asked)
        except ValueError:
            seconds = math.nan
        if not 0 < seconds < math.inf:
            raise Problem(400, f"{DEADLINE} must be a number of seconds above 0")
        return min(seconds, self._settings.max_timeout_s)

    async def _body(self, headers: Mapping[str, str], receive: Receive) -> Receive:
        """What gives the body to the application.

        The server holds a client to the length it has declared; a body without one is read here, up to the limit.
        """
        declared = headers.get("Content-Length")
        if declared is None or not declared.isdecimal():
            return await self._read(receive)
        if int(declared) > self._settings.max_body_bytes:
            raise self._too_large()
        return receive

    async def _read(self, receive: Receive) -> Receive:
        messages: list[Message] = []
        size, more = 0, True
        while more:
            message = await receive()
            messages.append(message)
            size += len(message.get("body", b""))
            if size > self._settings.max_body_bytes:
                raise self._too_large()
            more = message.get("more_body", False)
        waiting = iter(messages)

        async def again() -> Message:
            return next(waiting, None) or await receive()

        return again

    def _too_large(self) -> Problem:
        detail = f"a body may have {self._settings.max_body_bytes} bytes"
        return Problem(413, detail, slug="body-too-large", headers={"Connection": "close"})
