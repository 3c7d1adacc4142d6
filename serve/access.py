"""Who may ask: API keys with scopes and rates.

A key is 256 random bits; the file holds its SHA-256 only. A slow hash (bcrypt, Argon2) protects words that people
choose and that can be guessed; what cannot be guessed needs none, and it would cost each request tens of milliseconds.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import math
import os
import re
import secrets
import time
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from fastapi import Depends, Request, Security
from fastapi.security import APIKeyHeader, HTTPBearer
from pydantic import Field, field_validator
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as ASGIScope

from kartoteka.settings import Settings
from kartoteka.storage import Storage
from serve.problems import Problem

Scope = Literal["keyphrases", "similar", "sentiment", "search", "documents", "embed"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
_HASH = re.compile(r"^sha256:[0-9a-f]{64}$")
_PREFIX = "kt_"
#: With this Serve's HTTP goes through HAProxy, whatever host is configured for it.
_HA_PROXY = "RAY_SERVE_ENABLE_HA_PROXY"
#: What needs a key; health, metrics and the documentation do not.
GUARDED = "/v1/"


class Rate(Settings):
    """A token bucket: `per_second` requests in the long run, and `burst` at once."""

    per_second: float = Field(default=50.0, gt=0, allow_inf_nan=False)
    burst: int = Field(default=100, ge=1)


class KeySettings(Settings):
    """One `[[keys]]` of the file."""

    name: str = Field(pattern=_NAME)
    hash: str
    scopes: list[Scope] = Field(default=list(SCOPES), min_length=1)
    rate: Rate = Rate()

    @field_validator("hash")
    @classmethod
    def _is_hash(cls, value: str) -> str:
        if not _HASH.match(value):
            raise ValueError('must be "sha256:" and 64 hexadecimal digits, as `kartoteka key` writes it')
        return value


class KeyFile(Settings):
    """The key file."""

    keys: list[KeySettings] = Field(min_length=1)

    @field_validator("keys")
    @classmethod
    def _are_distinct(cls, value: list[KeySettings]) -> list[KeySettings]:
        for field in ("name", "hash"):
            seen = [getattr(key, field) for key in value]
            if len(set(seen)) < len(seen):
                raise ValueError(f"two keys have the same {field}")
        return value


class Bucket:
    """A token bucket, in time that the caller tells (seconds of one monotonic clock)."""

    def __init__(self, rate: Rate, now: float) -> None:
        self._rate = rate
        self._tokens = float(rate.burst)
        self._at = now

    def take(self, now: float) -> float:
        """0 where a request may pass; otherwise the seconds until one may."""
        filled = self._tokens + (now - self._at) * self._rate.per_second
        self._tokens, self._at = min(filled, self._rate.burst), now
        if self._tokens < 1:
            return (1 - self._tokens) / self._rate.per_second
        self._tokens -= 1
        return 0.0


class Key:
    """One who asks. The rate is counted in each replica that answers HTTP, so n replicas let n times as much pass."""

    def __init__(self, name: str, scopes: Collection[Scope], rate: Rate | None) -> None:
        self.name = name
        self.scopes = frozenset(scopes)
        self._bucket = Bucket(rate, time.monotonic()) if rate else None

    def require(self, scope: Scope) -> None:
        """Raise `Problem` 403 unless the key opens `scope`."""
        if scope not in self.scopes:
            detail = f"this key does not open `{scope}`"
            raise Problem(
                403, detail, slug="out-of-scope", headers={"WWW-Authenticate": 'Bearer error="insufficient_scope"'}
            )

    def spend(self) -> None:
        """Count one request; raise `Problem` 429 when the key has made too many."""
        wait = self._bucket.take(time.monotonic()) if self._bucket else 0.0
        if wait:
            raise Problem(429, "too many requests with this key", headers={"Retry-After": str(math.ceil(wait))})


class Keys:
    """The keys of a service; without a file everybody is let in (see `check_exposure`)."""

    def __init__(self, keys: Sequence[KeySettings] | None) -> None:
        self._anyone = Key("anyone", SCOPES, None) if keys is None else None
        self._known = [
            (bytes.fromhex(key.hash.removeprefix("sha256:")), Key(key.name, key.scopes, key.rate)) for key in keys or ()
        ]

    @classmethod
    def open(cls, path: str | Path | None) -> Self:
        """Read a key file (None: no keys). Raises `ValueError`: the file is missing or wrong."""
        return cls(None if path is None else KeyFile.from_toml(path).keys)

    def identify(self, authorization: str | None, x_api_key: str | None) -> Key:
        """The key of a request by its two headers, `Authorization: Bearer K` or `X-API-Key: K`.

        Raises `Problem` 401. Every known key is compared, in constant time, whether or not one has fitted already.
        """
        if self._anyone:
            return self._anyone
        scheme, _, bearer = (authorization or "").partition(" ")
        secret = x_api_key or (bearer.strip() if scheme.lower() == "bearer" else "")
        digest = hashlib.sha256(secret.encode()).digest()
        found = None
        for known, key in self._known:
            if hmac.compare_digest(known, digest):
                found = key
        if found is None:
            detail = "this API key is not known" if secret else "an API key is needed"
            raise Problem(401, detail, headers={"WWW-Authenticate": "Bearer"})
        return found


class Door:
    """Middleware: whoever may not ask is turned away before a byte of the body is read, or JSON of it parsed.

    The key of a request that passes is its `state.key`.
    """

    def __init__(self, app: ASGIApp, keys: Keys) -> None:
        self._app = app
        self._keys = keys

    async def __call__(self, scope: ASGIScope, receive: Receive, send: Send) -> None:
        """Answer one request, or pass it on."""
        if scope["type"] != "http" or not scope["path"].startswith(GUARDED):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        try:
            key = self._keys.identify(headers.get("Authorization"), headers.get("X-API-Key"))
            key.spend()
        except Problem as problem:
            await problem.response()(scope, receive, send)
            return
        scope.setdefault("state", {})["key"] = key
        await self._app(scope, receive, send)


def needs(scope: Scope) -> Any:
    """A FastAPI dependency of a route behind the `Door`: a key that opens `scope`. Raises `Problem` 403."""

    async def required(
        request: Request,
        # These two are for the OpenAPI document.
        bearer: Annotated[object, Security(HTTPBearer(auto_error=False))],
        x_api_key: Annotated[object, Security(APIKeyHeader(name="X-API-Key", auto_error=False))],
    ) -> None:
        request.state.key.require(scope)

    return Depends(required)


def new_key(name: str, scopes: Sequence[str] = SCOPES, rate: Rate | None = None) -> tuple[str, str]:
    """A new secret, to be given to its owner and kept nowhere, and the lines of the key file that know it.

    Raises `ValueError`: a wrong name or scope.
    """
    secret = _PREFIX + secrets.token_urlsafe(32)
    digest = hashlib.sha256(secret.encode()).hexdigest()
    key = KeySettings.parse({"name": name, "hash": f"sha256:{digest}", "scopes": list(scopes), "rate": rate or Rate()})
    quoted = ", ".join(f'"{scope}"' for scope in key.scopes)
    limits = f"{{ per_second = {key.rate.per_second}, burst = {key.rate.burst} }}"
    return secret, f'[[keys]]\nname = "{key.name}"\nhash = "{key.hash}"\nscopes = [{quoted}]\nrate = {limits}\n'


def add_key(path: str | Path, name: str, scopes: Sequence[str] | None, per_second: float, burst: int) -> str:
    """Add a new key to a file, which need not be there yet; its secret. No `scopes`: all.

    Raises `ValueError`: a wrong name, scope or rate, a file that is no key file, or one that holds the name already.
    """
    path = Path(path)
    rate = Rate.parse({"per_second": per_second, "burst": burst})
    secret, lines = new_key(name, scopes or SCOPES, rate)
    before = ""
    if path.exists():
        if name in [key.name for key in KeyFile.from_toml(path).keys]:
            raise ValueError(f"`name`: {path} holds a key of {name} already")
        before = path.read_text(encoding="utf-8").rstrip("\n") + "\n\n"
    Storage(path.absolute().parent).put(path.name, (before + lines).encode())
    return secret


def check_exposure(host: str, keys: str | None) -> None:
    """Raise `ValueError` when a service without a key file would listen to other machines."""
    if keys is not None:
        return
    if not _is_loopback(host):
        raise ValueError(f"`keys`: a service on {host} needs a key file; without one it may listen on 127.0.0.1 only")
    if os.environ.get(_HA_PROXY) == "1":
        raise ValueError(f"`keys`: with {_HA_PROXY}=1 Ray listens on every address of this machine; give a key file")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
