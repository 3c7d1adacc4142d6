"""What one replica takes on, tried with a real server and real connections."""

from __future__ import annotations

import asyncio
import http.client
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from fastapi import FastAPI, Request
from listening import listening

from serve.limits import Limits
from serve.problems import install
from serve.settings import AppSettings


class World:
    """An application that can be told to wait; what it has seen."""

    def __init__(self) -> None:
        self.entered, self.cancelled, self.finished = threading.Semaphore(0), threading.Event(), 0
        self.release = threading.Event()
        self.url = ""
        self.app = FastAPI()
        install(self.app)

        @self.app.post("/size")
        async def size(request: Request) -> int:
            return len(await request.body())

        @self.app.get("/wait")
        async def wait() -> str:
            self.entered.release()
            try:
                while not self.release.is_set():
                    await asyncio.sleep(0.005)
            except asyncio.CancelledError:
                self.cancelled.set()
                raise
            self.finished += 1
            return "done"

        @self.app.get("/slow-inside")
        async def slow_inside() -> None:
            raise TimeoutError("of a store")

        @self.app.get("/healthz")
        async def healthy() -> str:
            return "ok"


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    settings = AppSettings(max_body_bytes=2000, max_in_progress=2, timeout_s=5.0, max_timeout_s=6.0)
    with listening(Limits(world.app, settings)) as world.url:
        yield world
        world.release.set()


def test_bodies_up_to_the_limit_pass_and_longer_ones_do_not(world: World) -> None:
    for size in (0, 1999, 2000):
        assert httpx.post(f"{world.url}/size", content=b"x" * size).json() == size
    answer = httpx.post(f"{world.url}/size", content=b"x" * 2001)
    assert (answer.status_code, answer.json()["type"]) == (413, "urn:kartoteka:problem:body-too-large")
    assert httpx.post(f"{world.url}/size", content=b"").json() == 0


def test_a_declared_length_is_refused_before_the_body_comes(world: World) -> None:
    connection = http.client.HTTPConnection(world.url.removeprefix("http://"), timeout=5)
    connection.putrequest("POST", "/size")
    connection.putheader("Content-Length", str(10**12))
    connection.endheaders()
    assert connection.getresponse().status == 413


@pytest.mark.parametrize(("parts", "status"), [(4, 200), (5, 413), (5000, 413)])
def test_bodies_of_undeclared_length_are_counted(world: World, parts: int, status: int) -> None:
    answer = httpx.post(f"{world.url}/size", content=(b"x" * 500 for _ in range(parts)))
    assert answer.status_code == status
    if status == 200:
        assert answer.json() == 2000


def test_above_capacity_the_answer_is_503_and_health_still_answers(world: World) -> None:
    with ThreadPoolExecutor(2) as pool:
        waiting = [pool.submit(httpx.get, f"{world.url}/wait") for _ in range(2)]
        for _ in waiting:
            assert world.entered.acquire(timeout=5)
        refused = httpx.get(f"{world.url}/wait")
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        assert httpx.get(f"{world.url}/healthz").status_code == 200
        world.release.set()
        assert [task.result().json() for task in waiting] == ["done", "done"]
    assert httpx.get(f"{world.url}/wait").status_code == 200


def test_a_deadline_cancels_the_work_and_frees_its_place(world: World) -> None:
    for _ in range(3):  # one more than there are places
        answer = httpx.get(f"{world.url}/wait", headers={"X-Request-Timeout": "0.05"})
        assert (answer.status_code, answer.json()["detail"]) == (504, "not done within 0.05 s")
        assert world.cancelled.wait(5)
        world.cancelled.clear()
    assert world.finished == 0


def test_a_deadline_holds_while_a_body_dribbles_in(world: World) -> None:
    connection = http.client.HTTPConnection(world.url.removeprefix("http://"), timeout=5)
    connection.putrequest("POST", "/size")
    connection.putheader("Transfer-Encoding", "chunked")
    connection.putheader("X-Request-Timeout", "0.1")
    connection.endheaders()
    connection.send(b"1\r\nx\r\n")
    answer = connection.getresponse()
    assert (answer.status, json.loads(answer.read())["type"]) == (504, "urn:kartoteka:problem:deadline")


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "inf", "soon", ""])
def test_a_deadline_is_a_number_of_seconds(world: World, seconds: str) -> None:
    answer = httpx.get(f"{world.url}/slow-inside", headers={"X-Request-Timeout": seconds})
    assert answer.status_code == 400


def test_another_timeout_is_not_taken_for_the_deadline(world: World) -> None:
    assert httpx.get(f"{world.url}/slow-inside", headers={"X-Request-Timeout": "100"}).status_code == 500
