"""A client of the online service, for programs: one class that waits, and one for asyncio.

    from kartoteka.client import Client

    with Client("http://127.0.0.1:8000", key=KEY) as client:
        client.keyphrases([{"title": "Passive safety of reactors", "abstract": "..."}], k=10)

What can pass is asked again: 503 and 429 after the time the service names; after a moment a lost connection, or a proxy
that lost the service. Nothing that is asked here changes the service, so asking twice does no harm. Answers are its
JSON; its `/docs` describe each field.
"""

from __future__ import annotations

import asyncio
import random
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, Generic, Literal, Self, TypedDict, TypeVar
from urllib.parse import quote

import httpx

from kartoteka import __version__

Json = dict[str, Any]
#: What a method gives: the answer, or what is awaited for it.
Answer = TypeVar("Answer")

_FIRST_PAUSE_S = 0.1
_AGAIN = frozenset({429, 503})
#: What a connection may die of with nothing wrong in the request.
_LOST = (httpx.ConnectError, httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError)
_DEADLINE = "X-Request-Timeout"


class KartotekaError(Exception):
    """The service's refusal: `problem` holds the members of RFC 9457 (`status`, `type`, `title`, `detail`, ...)."""

    def __init__(self, problem: Mapping[str, Any]) -> None:
        super().__init__(problem)
        self.problem = dict(problem)

    def __str__(self) -> str:
        return f"{self.status} {self.problem.get('detail') or self.problem.get('title')}"

    @property
    def status(self) -> int:
        """The HTTP status."""
        return int(self.problem["status"])


class Document(TypedDict, total=False):
    """A document to be described; `title` is needed."""

    id: str
    title: str
    abstract: str
    lang: str


class Filters(TypedDict, total=False):
    """Which documents may be found. Years are inclusive; `exclude` are ids; `new_since` is an edition."""

    year_from: int
    year_to: int
    langs: list[str]
    added_since: str
    new_since: str
    exclude: list[str]


class _Questions(ABC, Generic[Answer]):
    """What can be asked, for both clients.

    Every method may raise `KartotekaError`, and `TimeoutError` or `ConnectionError` when the service has not answered.
    """

    def keyphrases(
        self, documents: Sequence[Document], *, k: int | None = None, min_score: float | None = None
    ) -> Answer:
        """`{"edition", "results": [{"keyphrases": [{"phrase", "score", ...}]}]}`, best first, one result a document."""
        return self._ask("POST", "/v1/keyphrases", {"documents": list(documents), "k": k, "min_score": min_score})

    def similar(
        self,
        *,
        text: str | None = None,
        ids: Sequence[str] | None = None,
        k: int | None = None,
        mode: Literal["dense", "lexical", "hybrid"] | None = None,
        lang: str | None = None,
        filters: Filters | None = None,
    ) -> Answer:
        """`{"edition", "results": [{"id", "score", "title", ..., "why"}]}` of what is like a text, or documents."""
        asked = {"text": text, "ids": ids and list(ids), "k": k, "mode": mode, "lang": lang, "filters": filters}
        return self._ask("POST", "/v1/similar", asked)

    def sentiment(self, texts: Sequence[str]) -> Answer:
        """`{"model", "results": [{"label", "probabilities": {"negative", "neutral", "positive"}}]}`, one a text."""
        return self._ask("POST", "/v1/sentiment", {"texts": list(texts)})

    def search(
        self,
        q: str,
        *,
        k: int | None = None,
        offset: int | None = None,
        lang: str | None = None,
        filters: Filters | None = None,
    ) -> Answer:
        """`{"edition", "total", "results": [{"id", "score", "title", "snippet", ...}]}`, from rank `offset` on."""
        query = {"q": q, "k": k, "offset": offset, "lang": lang, **(filters or {})}
        return self._ask("GET", "/v1/search", query=query)

    def document(self, id: str) -> Answer:  # noqa: A002 - the service's own word
        """The card of a document: what it is, its keyphrases, its cluster, what is like it."""
        return self._ask("GET", f"/v1/documents/{quote(id, safe='')}")

    def embed(self, texts: Sequence[str]) -> Answer:
        """`{"model", "dimension", "vectors": [[...]]}`: unit vectors, one a text."""
        return self._ask("POST", "/v1/embed", {"texts": list(texts)})

    def version(self) -> Answer:
        """Which edition and which models answer."""
        return self._ask("GET", "/version")

    def ready(self) -> Answer:
        """What `/readyz` says; asked again, as all is, while the service starts."""
        return self._ask("GET", "/readyz")

    @abstractmethod
    def _ask(self, method: str, path: str, body: Json | None = None, query: Mapping[str, Any] | None = None) -> Answer:
        """The answer to one request."""


class Client(_Questions[Json]):
    """The service at `url`; a call takes `timeout` seconds at most, all its `retries` included."""

    def __init__(self, url: str, key: str | None = None, timeout: float = 30.0, retries: int = 4) -> None:
        _check(timeout, retries)
        self._timeout, self._retries = timeout, retries
        self._http = httpx.Client(base_url=_base(url), headers=_headers(key))

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _ask(self, method: str, path: str, body: Json | None = None, query: Mapping[str, Any] | None = None) -> Json:
        attempts = _Attempts(self._timeout, self._retries)
        while True:
            request = self._http.build_request(method, path, **attempts.asked(body, query))
            try:
                outcome = self._http.send(request)
            except httpx.TransportError as error:
                outcome = error
            pause = attempts.pause(outcome)
            if pause is None:
                return _result(outcome)
            time.sleep(pause)


class AsyncClient(_Questions[Awaitable[Json]]):
    """The same for asyncio: every method is awaited."""

    def __init__(self, url: str, key: str | None = None, timeout: float = 30.0, retries: int = 4) -> None:
        _check(timeout, retries)
        self._timeout, self._retries = timeout, retries
        self._http = httpx.AsyncClient(base_url=_base(url), headers=_headers(key))

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _ask(
        self, method: str, path: str, body: Json | None = None, query: Mapping[str, Any] | None = None
    ) -> Json:
        attempts = _Attempts(self._timeout, self._retries)
        while True:
            request = self._http.build_request(method, path, **attempts.asked(body, query))
            try:
                outcome = await self._http.send(request)
            except httpx.TransportError as error:
                outcome = error
            pause = attempts.pause(outcome)
            if pause is None:
                return _result(outcome)
            await asyncio.sleep(pause)


class _Attempts:
    """The attempts of one call: what time is left for the next, and whether there is to be one."""

    def __init__(self, timeout: float, retries: int) -> None:
        self._until = time.monotonic() + timeout
        self._left = retries
        self._pause = _FIRST_PAUSE_S

    def asked(self, body: Json | None, query: Mapping[str, Any] | None) -> dict[str, Any]:
        """What makes the next request: None stands for what was not said. The service is told the time that is left."""
        left = max(self._until - time.monotonic(), 0.001)
        return {
            "json": None if body is None else _said(body),
            "params": None if query is None else _said(query),
            "timeout": left,
            "headers": {_DEADLINE: f"{left:.3f}"},
        }

    def pause(self, outcome: httpx.Response | httpx.TransportError) -> float | None:
        """Seconds after which to ask again; None: what has come is the outcome.

        Pauses double from 0.1 s, half of each at random, so that clients that were refused together do not come back
        together ("equal jitter": Brooker, Exponential backoff and jitter, AWS 2015), after what the service asks for.
        """
        answered = isinstance(outcome, httpx.Response)
        again = _may_pass(outcome) if answered else isinstance(outcome, _LOST)
        if not again or self._left == 0:
            return None
        wait = self._pause * random.uniform(0.5, 1.0) + (_retry_after(outcome) if answered else 0.0)
        self._left -= 1
        self._pause *= 2
        return wait if time.monotonic() + wait < self._until else None


def _may_pass(answer: httpx.Response) -> bool:
    """Whether asking again may help: the service is busy, or what stands before it lost the process that answered.

    A fault of the service's own is a problem in JSON, and will be the same again.
    """
    of_proxy = answer.status_code >= 500 and not answer.headers.get("content-type", "").endswith("json")
    return of_proxy or answer.status_code in _AGAIN


def _check(timeout: float, retries: int) -> None:
    if not timeout > 0:
        raise ValueError(f"`timeout`: must be above 0, not {timeout}")
    if retries < 0:
        raise ValueError(f"`retries`: must not be below 0, not {retries}")


def _base(url: str) -> str:
    if not url.startswith(("http://", "https://")):
        raise ValueError(f"`url`: must begin with http:// or https://, not {url[:40]!r}")
    return url


def _headers(key: str | None) -> dict[str, str]:
    own = {"User-Agent": f"kartoteka/{__version__}"}
    return own if key is None else own | {"Authorization": f"Bearer {key}"}


def _said(values: Mapping[str, Any]) -> Json:
    return {name: value for name, value in values.items() if value is not None}


def _retry_after(answer: httpx.Response) -> float:
    """Seconds; the service never sends the header's other form, a date."""
    value = answer.headers.get("Retry-After", "")
    return float(value) if value.isdecimal() else 0.0


def _result(outcome: httpx.Response | httpx.TransportError) -> Json:
    """The JSON of an answer. Raises as `_Questions` says."""
    if isinstance(outcome, httpx.TimeoutException):
        raise TimeoutError("the service has not answered in time") from outcome
    if isinstance(outcome, httpx.TransportError):
        raise ConnectionError(f"no connection to the service: {outcome}") from outcome
    try:
        body = outcome.json()
    except ValueError:
        body = None
    if outcome.is_success and isinstance(body, dict):
        return body
    if not isinstance(body, dict) or "status" not in body:  # It is of something on the way, or of another service.
        body = {"status": outcome.status_code, "title": outcome.reason_phrase, "detail": outcome.text[:200]}
    raise KartotekaError(body)
