"""API keys: who is let in, to what, and how often."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Message

from serve.access import SCOPES, Bucket, Door, KeyFile, Keys, Rate, add_key, check_exposure, needs, new_key
from serve.problems import Problem, install


@pytest.fixture
def world(tmp_path: Path) -> tuple[Keys, str, str]:
    """A file of two keys, the second for search only and one request at a time; and the two secrets."""
    one, its_lines = new_key("catalogue")
    two, more_lines = new_key("kiosk-3", ["search"], Rate(per_second=0.01, burst=1))
    file = tmp_path / "keys.toml"
    file.write_text(its_lines + more_lines)
    assert one not in file.read_text()
    return Keys.open(file), one, two


def test_either_header_names_the_key(world: tuple[Keys, str, str]) -> None:
    keys, one, two = world
    assert keys.identify(f"Bearer {one}", None).name == "catalogue"
    assert keys.identify(f"bearer  {two}", None).name == "kiosk-3"
    assert keys.identify(None, two).name == "kiosk-3"


@pytest.mark.parametrize("wrong", [None, "", "Bearer", "Bearer ", "Basic {one}", "{one}", "Bearer {one}x"])
def test_no_key_and_wrong_keys_are_refused(world: tuple[Keys, str, str], wrong: str | None) -> None:
    keys, one, _ = world
    with pytest.raises(Problem) as refused:
        keys.identify(wrong.format(one=one) if wrong else wrong, None)
    assert refused.value.status == 401
    assert refused.value.headers["WWW-Authenticate"] == "Bearer"
    assert one not in refused.value.detail


def test_the_hash_is_no_key(world: tuple[Keys, str, str]) -> None:
    keys, one, _ = world
    with pytest.raises(Problem):
        keys.identify(None, "sha256:" + hashlib.sha256(one.encode()).hexdigest())


def test_scopes_and_rates(world: tuple[Keys, str, str]) -> None:
    keys, one, two = world
    for scope in SCOPES:
        keys.identify(None, one).require(scope)
    narrow = keys.identify(None, two)
    narrow.require("search")
    with pytest.raises(Problem) as refused:
        narrow.require("embed")
    assert refused.value.status == 403
    narrow.spend()
    with pytest.raises(Problem) as refused:
        narrow.spend()
    assert refused.value.status == 429
    assert 90 <= int(refused.value.headers["Retry-After"]) <= 100


@given(
    st.floats(0.1, 100), st.integers(1, 50), st.lists(st.floats(0, 5, allow_subnormal=False), min_size=1, max_size=200)
)
def test_a_bucket_lets_through_what_the_rate_says(per_second: float, burst: int, gaps: list[float]) -> None:
    bucket, now, passed = Bucket(Rate(per_second=per_second, burst=burst), 0.0), 0.0, 0
    for gap in gaps:
        now += gap
        wait = bucket.take(now)
        passed += wait == 0
        assert 0 <= wait <= 1 / per_second + 1e-9
    assert passed <= burst + now * per_second + 1e-6
    wait = bucket.take(now)
    assert wait == 0 or bucket.take(now + wait + 1e-6) == 0


def test_without_a_file_everybody_may_all() -> None:
    anyone = Keys.open(None).identify(None, None)
    for _ in range(1000):
        anyone.spend()
    assert anyone.scopes == set(SCOPES)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "[::1]", "localhost"])
def test_without_keys_only_this_machine_may_ask(host: str) -> None:
    check_exposure(host, None)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.4", "library.example", ""])
def test_without_keys_others_may_not(host: str) -> None:
    with pytest.raises(ValueError, match="`keys`"):
        check_exposure(host, None)
    check_exposure(host, "keys.toml")


def test_haproxy_listens_to_others_whatever_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_SERVE_ENABLE_HA_PROXY", "1")
    with pytest.raises(ValueError, match="every address"):
        check_exposure("127.0.0.1", None)
    check_exposure("127.0.0.1", "keys.toml")


@pytest.fixture
def client(world: tuple[Keys, str, str]) -> TestClient:
    app = FastAPI()
    install(app)
    app.add_middleware(Door, keys=world[0])

    @app.post("/v1/embed", dependencies=[needs("embed")])
    async def embed(texts: list[str]) -> int:
        return len(texts)

    @app.get("/healthz")
    async def healthy() -> str:
        return "ok"

    return TestClient(app)


def test_a_route_needs_its_scope(client: TestClient, world: tuple[Keys, str, str]) -> None:
    _, one, two = world
    for headers, status in [
        ({}, 401),
        ({"Authorization": "Basic eA=="}, 401),
        ({"X-API-Key": two}, 403),
        ({"X-API-Key": two}, 429),
        ({"X-API-Key": one}, 200),
        ({"Authorization": f"Bearer {one}"}, 200),
    ]:
        answer = client.post("/v1/embed", json=["a"], headers=headers)
        assert answer.status_code == status
        if status != 200:
            assert answer.headers["content-type"] == "application/problem+json"
    assert client.get("/healthz").json() == "ok"
    assert len(client.get("/openapi.json").json()["components"]["securitySchemes"]) == 2


def test_without_a_key_no_body_is_read_and_no_path_is_told(client: TestClient) -> None:
    assert client.post("/v1/embed", content=b"{").status_code == 401
    assert client.get("/v1/nothing").status_code == 401

    async def receive() -> Message:
        raise AssertionError("read")

    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "path": "/v1/embed", "method": "POST", "headers": [], "query_string": b""}
    asyncio.run(client.app(scope, receive, send))
    assert sent[0]["status"] == 401


GOOD = "sha256:" + "0" * 64


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("", "`keys`"),
        ("keys = []", "`keys`"),
        (f'[[keys]]\nname = "a b"\nhash = "{GOOD}"', "keys.0.name"),
        ('[[keys]]\nname = "a"\nhash = "secret"', "keys.0.hash"),
        (f'[[keys]]\nname = "a"\nhash = "{GOOD}"\nscope = ["search"]', "unknown key `keys.0.scope`"),
        (f'[[keys]]\nname = "a"\nhash = "{GOOD}"\nscopes = ["all"]', "keys.0.scopes.0"),
        (f'[[keys]]\nname = "a"\nhash = "{GOOD}"\nrate = {{ burst = 0 }}', "keys.0.rate.burst"),
        (f'[[keys]]\nname = "a"\nhash = "{GOOD}"\n[[keys]]\nname = "b"\nhash = "{GOOD}"', "same hash"),
    ],
)
def test_a_wrong_file_says_which_field(tmp_path: Path, lines: str, said: str) -> None:
    (tmp_path / "keys.toml").write_text(lines)
    with pytest.raises(ValueError, match=said):
        Keys.open(tmp_path / "keys.toml")


def test_new_keys_read_back(tmp_path: Path) -> None:
    _, lines = new_key("a", ["search", "embed"], Rate(per_second=2, burst=3))
    (tmp_path / "keys.toml").write_text(lines)
    (key,) = KeyFile.from_toml(tmp_path / "keys.toml").keys
    assert (key.scopes, key.rate) == (["search", "embed"], Rate(per_second=2, burst=3))
    with pytest.raises(ValueError, match="name"):
        new_key('a"\n')


def test_keys_are_added_to_a_file(tmp_path: Path) -> None:
    file = tmp_path / "new" / "keys.toml"
    secrets = [add_key(file, name, scopes, 5, 7) for name, scopes in [("a", None), ("b", ["search"])]]
    file.write_text("# whose keys these are\n" + file.read_text())
    secrets.append(add_key(file, "c", ["embed"], 0.5, 1))
    keys = Keys.open(file)
    found = [keys.identify(None, secret) for secret in secrets]
    assert [key.name for key in found] == ["a", "b", "c"]
    assert [key.scopes for key in found] == [set(SCOPES), {"search"}, {"embed"}]
    assert file.read_text().startswith("# whose keys")
    before = file.read_bytes()
    for name, scopes, rate, said in [
        ("a", None, 1, "already"),
        ("d e", None, 1, "name"),
        ("d", ["all"], 1, "scopes"),
        ("d", None, 0, "per_second"),
    ]:
        with pytest.raises(ValueError, match=said):
            add_key(file, name, scopes, rate, 1)
    assert file.read_bytes() == before
