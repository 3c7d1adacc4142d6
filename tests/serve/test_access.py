"""API keys: who is let in, to what, and how often."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st

from serve.access import SCOPES, Bucket, Key, KeyFile, Keys, Rate, add_key, check_exposure, needs, new_key
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
        keys.admit(None, one, scope)
    with pytest.raises(Problem) as refused:
        keys.admit(None, two, "embed")
    assert refused.value.status == 403
    with pytest.raises(Problem) as refused:
        keys.admit(None, two, "search")
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
    assert Keys.open(None).admit(None, None, "search").scopes == set(SCOPES)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "[::1]", "localhost"])
def test_without_keys_only_this_machine_may_ask(host: str) -> None:
    check_exposure(host, None)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.4", "library.example", ""])
def test_without_keys_others_may_not(host: str) -> None:
    with pytest.raises(ValueError, match="`keys`"):
        check_exposure(host, None)
    check_exposure(host, "keys.toml")


def test_a_route_needs_its_scope(world: tuple[Keys, str, str]) -> None:
    keys, one, two = world
    app = FastAPI()
    install(app)
    app.state.keys = keys

    @app.get("/embed")
    async def embed(key: Annotated[Key, needs("embed")]) -> str:
        return key.name

    client = TestClient(app)
    assert client.get("/embed").status_code == 401
    assert client.get("/embed", headers={"Authorization": "Basic eA=="}).status_code == 401
    assert client.get("/embed", headers={"X-API-Key": two}).status_code == 403
    assert client.get("/embed", headers={"Authorization": f"Bearer {one}"}).json() == "catalogue"
    document = client.get("/openapi.json").json()
    assert len(document["components"]["securitySchemes"]) == 2


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
