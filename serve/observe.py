"""The span and the figures of every request: a plain ASGI application around all others."""

from __future__ import annotations

import time

from fastapi.telemetry import TelemetryConfig
from opentelemetry.trace import SpanKind, StatusCode
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kartoteka.telemetry import carrier, span
from serve import figures

#: For `FastAPI(telemetry=...)`: its own spans would be a second set, and hold what readers search for.
NO_TELEMETRY: TelemetryConfig = {"tracing": False, "metrics": False, "logs": False}
#: Of W3C trace context.
_CONTEXT = ("traceparent", "tracestate")
#: The route of what was refused before it was routed, or has none.
_OUTSIDE = "unmatched"
#: HTTP lets a client make up methods; OpenTelemetry's conventions name the others `_OTHER`.
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Observed:
    """Middleware: a server span in the client's trace, `traceresponse` in the answer, latency by route and status.

    A route is its template (`/v1/documents/{id}`): labels must stay few, whatever is asked.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._in_progress = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or pass on what is none."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        sent = {name: headers[name] for name in _CONTEXT if name in headers}
        method = scope["method"] if scope["method"] in _METHODS else "_OTHER"
        started, status = time.perf_counter(), 0
        self._count(1)
        with span(method, {"http.request.method": method}, carriers=[sent], kind=SpanKind.SERVER) as current:
            own = carrier().get("traceparent")

            async def watched(message: Message) -> None:
                nonlocal status
                if message["type"] == "http.response.start":
                    status = message["status"]
                    if own:
                        MutableHeaders(scope=message)["traceresponse"] = own
                await send(message)

            try:
                await self._app(scope, receive, watched)
            finally:
                self._count(-1)
                route = getattr(scope.get("route"), "path", _OUTSIDE)
                # What has no answer was given up by its client, or by Serve.
                figures.request(route, method, str(status or "cancelled"), time.perf_counter() - started)
                current.update_name(f"{method} {route}")
                current.set_attributes({"http.route": route, "http.response.status_code": status})
                if status >= 500:
                    current.set_status(StatusCode.ERROR)

    def _count(self, change: int) -> None:
        self._in_progress += change
        figures.in_progress(self._in_progress)
