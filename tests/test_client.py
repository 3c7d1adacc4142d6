"""The client, against a real server that refuses, drops connections and stalls."""

from __future__ import annotations

import asyncio
import pickle
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from fastapi import FastAPI, Request
from listening import listening
from starlette.responses import JSONResponse, PlainTextResponse

from kartoteka.client import AsyncClient, Client, KartotekaError


class Service:
    """Records what it is asked, and does what the test's script says."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, list[tuple[str, str]], Any]] = []
        self.headers: list[dict[str, str]] = []
        self.count: Counter[str] = Counter()
        self.app = FastAPI()

        @self.app.get("/v1/documents/{name:path}")
        async def document(name: str) -> Any:
            self.count[name] += 1
            if name == "busy" and self.count[name] <= 2:
                return JSONResponse({"status": 503, "detail": "full"}, 503, {"Retry-After": "0"})
            if name == "limited" and self.count[name] == 1:
                return JSONResponse({"status": 429, "detail": "slow down"}, 429, {"Retry-After": "1"})
            if name == "always-busy":
                return JSONResponse({"status": 503, "detail": "full"}, 503)
            if name == "for-an-hour":
                return JSONResponse({"status": 503, "detail": "full"}, 503, {"Retry-After": "3600"})
            if name == "lost" and self.count[name] == 1:
                return PlainTextResponse("Internal Server Error", 500)  # Serve's proxy, when a replica dies
            if name == "fault":
                return JSONResponse({"status": 500, "detail": "internal error"}, 500)
            if name == "missing":
                body = {"type": "urn:kartoteka:problem:unknown-document", "status": 404, "detail": "no document"}
                return JSONResponse(body, 404, media_type="application/problem+json")
            if name == "proxy":
                return PlainTextResponse("<h1>Bad Gateway</h1>", 502)
            if name == "stalls":
                await asyncio.sleep(5)
            return {"id": name}

        @self.app.api_route("/{path:path}", methods=["GET", "POST"])
        async def anything(request: Request, path: str) -> Any:
            body = await request.json() if request.method == "POST" else None
            self.asked.append((request.method, "/" + path, request.query_params.multi_items(), body))
            self.headers.append(dict(request.headers))
            return {"results": []}


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    service = Service()
    with listening(service.app) as service.url:
        yield service


def sync_call(url: str, method: str, *args: Any, **options: Any) -> Any:
    with Client(url, **options) as client:
        return getattr(client, method)(*args)


def async_call(url: str, method: str, *args: Any, **options: Any) -> Any:
    async def call() -> Any:
        async with AsyncClient(url, **options) as client:
            return await getattr(client, method)(*args)

    return asyncio.run(call())


@pytest.fixture(params=[sync_call, async_call], ids=["sync", "async"])
def call(request: pytest.FixtureRequest, service: Service) -> Callable[..., Any]:
    service.count.clear()
    return request.param


@pytest.mark.parametrize(("name", "attempts"), [("busy", 3), ("limited", 2), ("lost", 2), ("plain", 1)])
def test_what_passes_is_asked_again(service: Service, call: Callable[..., Any], name: str, attempts: int) -> None:
    assert call(service.url, "document", name) == {"id": name}
    assert service.count[name] == attempts


@pytest.mark.parametrize(("retries", "attempts"), [(0, 1), (2, 3)])
def test_retries_end(service: Service, call: Callable[..., Any], retries: int, attempts: int) -> None:
    with pytest.raises(KartotekaError) as refused:
        call(service.url, "document", "always-busy", retries=retries)
    assert (refused.value.status, service.count["always-busy"]) == (503, attempts)


def test_nothing_is_waited_for_that_comes_after_the_timeout(service: Service, call: Callable[..., Any]) -> None:
    with pytest.raises(KartotekaError, match="503 full"):
        call(service.url, "document", "for-an-hour", timeout=60)
    assert service.count["for-an-hour"] == 1


def test_a_refusal_is_not_asked_again(service: Service, call: Callable[..., Any]) -> None:
    with pytest.raises(KartotekaError, match="404 no document") as refused:
        call(service.url, "document", "missing")
    assert str(pickle.loads(pickle.dumps(refused.value))) == str(refused.value)
    assert refused.value.problem["type"] == "urn:kartoteka:problem:unknown-document"
    assert service.count["missing"] == 1
    with pytest.raises(KartotekaError, match="500 internal error"):
        call(service.url, "document", "fault")
    assert service.count["fault"] == 1


def test_what_is_no_problem_is_told_too(service: Service, call: Callable[..., Any]) -> None:
    with pytest.raises(KartotekaError, match="502 <h1>Bad Gateway"):
        call(service.url, "document", "proxy", retries=0)


def test_a_service_that_stalls(service: Service, call: Callable[..., Any]) -> None:
    with pytest.raises(TimeoutError):
        call(service.url, "document", "stalls", timeout=0.3)
    assert service.count["stalls"] == 1


@contextmanager
def dropping(connections: int) -> Iterator[str]:
    """A port that reads a request, closes its first connections with half an answer or none, and answers the next."""
    listener = socket.create_server(("127.0.0.1", 0))
    answer = b'HTTP/1.1 200 OK\r\nContent-Length: 15\r\nConnection: close\r\n\r\n{"id": "plain"}'

    def serve() -> None:
        for number in range(connections + 1):
            asking, _ = listener.accept()
            with asking:
                asking.recv(65536)
                asking.sendall(answer if number == connections else (b"", answer[:-8])[number % 2])

    threading.Thread(target=serve, daemon=True).start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    listener.close()


def test_lost_connections(call: Callable[..., Any]) -> None:
    with dropping(2) as url:
        assert call(url, "document", "plain") == {"id": "plain"}
    with dropping(9) as url, pytest.raises(ConnectionError):
        call(url, "document", "plain", retries=1)


def test_nobody_listens(call: Callable[..., Any]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(ConnectionError):
        call(f"http://127.0.0.1:{port}", "version", retries=1)


def test_what_is_asked(service: Service) -> None:
    service.asked.clear()
    with Client(service.url + "/", key="kt_secret", timeout=7) as client:
        client.keyphrases([{"title": "a"}], k=3)
        client.similar(ids=["1", "2"], mode="hybrid", filters={"year_from": 1990, "langs": ["ru"]})
        client.similar(text="реактор", k=5)
        client.search("a b&c", offset=20, filters={"langs": ["en", "ru"], "year_to": 2000})
        client.sentiment(("good",))
        client.embed(["x"])
        client.version()
        client.ready()
    assert service.asked == [
        ("POST", "/v1/keyphrases", [], {"documents": [{"title": "a"}], "k": 3}),
        (
            "POST",
            "/v1/similar",
            [],
            {"ids": ["1", "2"], "mode": "hybrid", "filters": {"year_from": 1990, "langs": ["ru"]}},
        ),
        ("POST", "/v1/similar", [], {"text": "реактор", "k": 5}),
        (
            "GET",
            "/v1/search",
            [("q", "a b&c"), ("offset", "20"), ("langs", "en"), ("langs", "ru"), ("year_to", "2000")],
            None,
        ),
        ("POST", "/v1/sentiment", [], {"texts": ["good"]}),
        ("POST", "/v1/embed", [], {"texts": ["x"]}),
        ("GET", "/version", [], None),
        ("GET", "/readyz", [], None),
    ]
    for headers in service.headers[-8:]:
        assert headers["authorization"] == "Bearer kt_secret"
        assert 6 < float(headers["x-request-timeout"]) <= 7


@pytest.mark.parametrize("name", ["a/b", "../x", "a?b#c", "ключ 7", "%2F"])
def test_any_id_can_be_asked_for(service: Service, call: Callable[..., Any], name: str) -> None:
    assert call(service.url, "document", name) == {"id": name}


@pytest.mark.parametrize(
    ("options", "named"), [({"timeout": 0}, "timeout"), ({"retries": -1}, "retries"), ({"url": "host:80"}, "url")]
)
def test_wrong_settings_are_named(options: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=f"`{named}`"):
        Client(**{"url": "http://127.0.0.1", **options})
