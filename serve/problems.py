"""Errors as RFC 9457 problem details: one shape for all, and nothing in it about our insides.

A problem says what was wrong with the request, or that the service cannot answer now. What went wrong inside is logged
with its stack under an id, and only that id is in the answer.
"""

from __future__ import annotations

import json
import logging
import math
import uuid
from collections.abc import Callable, Mapping
from functools import partial
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import models_json_schema
from ray.exceptions import (
    LocalRayletDiedError,
    NodeDiedError,
    ObjectLostError,
    OutOfMemoryError,
    RayActorError,
    RayTaskError,
    WorkerCrashedError,
)
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kartoteka.display import clip

logger = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
TYPES = "urn:kartoteka:problem:"
_COMPONENTS = "#/components/schemas/{model}"
#: What of a request may come back in its answer: characters of one text, and errors of one request.
_SHOWN_CHARACTERS = 100
_SHOWN_ERRORS = 20
#: Seconds after which to ask again where nothing better is known: a replica that died is replaced in about that time.
_RETRY_S = 1.0
#: What a call fails with when its replica, or the node, or what it has answered is lost; another replica will do.
_LOST = (RayActorError, NodeDiedError, ObjectLostError, WorkerCrashedError, LocalRayletDiedError, OutOfMemoryError)
_BUSY = (BackPressureError, DeploymentUnavailableError, *_LOST)


class Problem(Exception):
    """An answer that is no result: `status`, a `detail` for a person, and a `slug` that a program can tell it by.

    `headers` go with the answer, `extensions` into its JSON. It may be raised anywhere, in another replica too.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        slug: str | None = None,
        title: str | None = None,
        headers: Mapping[str, str] | None = None,
        extensions: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.title = title or HTTPStatus(status).phrase
        self.slug = slug or HTTPStatus(status).phrase.lower().replace(" ", "-")
        self.headers = dict(headers or {})
        self.extensions = dict(extensions or {})

    def __reduce__(self) -> tuple[Callable[..., Problem], tuple[int, str]]:
        names = ("slug", "title", "headers", "extensions")
        return partial(Problem, **{name: getattr(self, name) for name in names}), (self.status, self.detail)

    def body(self) -> dict[str, Any]:
        """The members of RFC 9457, section 3.1, and the extensions beside them."""
        own = {"type": TYPES + self.slug, "title": self.title, "status": self.status, "detail": self.detail}
        return {**self.extensions, **own}

    def response(self) -> _Answer:
        """The answer; as an ASGI application it can also be sent from a middleware."""
        return _Answer(self.body(), self.status, self.headers, MEDIA_TYPE)


class _Answer(JSONResponse):
    def render(self, content: Any) -> bytes:
        # Starlette writes UTF-8, which has no bytes for the half of a surrogate pair that a request's field may hold.
        return json.dumps(content, allow_nan=False).encode("ascii")


class FieldError(BaseModel):
    """One thing wrong with a request."""

    field: str = Field(examples=["documents.0.title"])
    message: str = Field(examples=["Field required"])


class ProblemDetails(BaseModel):
    """Why a request was not answered (RFC 9457, `application/problem+json`)."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(examples=[TYPES + "not-found"])
    title: str = Field(examples=["Not Found"])
    status: int = Field(examples=[404])
    detail: str = Field(examples=["no document 90210"])
    instance: str | None = Field(None, description="Where the service logged a fault of its own.")
    errors: list[FieldError] | None = Field(None, description="What is wrong with which field.")


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route that may answer with these problems, for the OpenAPI document."""
    content = {MEDIA_TYPE: {"schema": {"$ref": _COMPONENTS.format(model=ProblemDetails.__name__)}}}
    return {status: {"description": HTTPStatus(status).phrase, "content": content} for status in statuses}


def busy(detail: str, retry_after_s: float = _RETRY_S) -> Problem:
    """503: the service will answer the same request in `retry_after_s` seconds or so."""
    return Problem(503, detail, headers={"Retry-After": str(math.ceil(retry_after_s))})


def install(app: FastAPI) -> None:
    """Let `app` answer every error with a problem; call it before other middlewares are added."""
    app.add_exception_handler(Problem, _of_problem)
    app.add_exception_handler(RequestValidationError, _of_validation)
    app.add_exception_handler(HTTPException, _of_http)
    for kind in _BUSY:
        app.add_exception_handler(kind, _of_busy)
    # Starlette's own place for `Exception` raises it again after the answer; Serve would log a failed replica.
    app.add_middleware(_Faults)
    app.openapi = partial(_described, app.openapi)


def _described(openapi: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The OpenAPI document with the shape of a problem: FastAPI itself adds only shapes of `application/json`."""
    document = openapi()
    _, shapes = models_json_schema([(ProblemDetails, "serialization")], ref_template=_COMPONENTS)
    document.setdefault("components", {}).setdefault("schemas", {}).update(shapes["$defs"])
    return document


class _Faults:
    """Answers 500 for what nobody else has answered."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except Exception as error:
            if scope["type"] != "http" or started:
                raise
            await _fault(error).response()(scope, receive, send)


def _fault(error: Exception) -> Problem:
    instance = f"urn:uuid:{uuid.uuid4()}"
    logger.error("internal error %s", instance, exc_info=error)
    return Problem(500, "internal error", extensions={"instance": instance})


async def _of_problem(request: Request, error: Exception) -> _Answer:
    # What was raised in another replica comes as Ray's error that is of both classes; the problem is its cause.
    problem = error.cause if isinstance(error, RayTaskError) else error
    assert isinstance(problem, Problem)
    return problem.response()


async def _of_busy(request: Request, error: Exception) -> _Answer:
    known = error.retry_after_s if isinstance(error, BackPressureError) else None
    detail = "the service has lost a part" if isinstance(error, _LOST) else "the service is at capacity"
    return busy(detail, known or _RETRY_S).response()


async def _of_http(request: Request, error: Exception) -> _Answer:
    assert isinstance(error, HTTPException)
    return Problem(error.status_code, clip(str(error.detail), _SHOWN_CHARACTERS), headers=error.headers).response()


async def _of_validation(request: Request, error: Exception) -> _Answer:
    assert isinstance(error, RequestValidationError)
    found = error.errors()
    errors = [{"field": _field(e), "message": clip(e["msg"], _SHOWN_CHARACTERS)} for e in found[:_SHOWN_ERRORS]]
    first = " ".join(errors[0].values()).strip()
    more = f", and {len(found) - 1} more errors" if len(found) > 1 else ""
    problem = Problem(422, first + more, slug="invalid-request", extensions={"errors": errors})
    return problem.response()


def _field(error: Mapping[str, Any]) -> str:
    """`documents.0.title` of ("body", "documents", 0, "title"); where the body is no JSON, nothing."""
    if error["type"] == "json_invalid":
        return ""
    return clip(".".join(str(part) for part in error["loc"][1:]), _SHOWN_CHARACTERS)
