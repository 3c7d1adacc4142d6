"""What breaks a client is found, and what does not is let through; documents are FastAPI's own."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest
from fastapi import FastAPI
from pydantic import BaseModel, create_model
from typer import Typer
from typer.testing import CliRunner

from serve.openapi import breaks, document, main, text_of

PUBLISHED = Path(__file__).parents[2] / "docs" / "openapi.json"
APP = Typer()
APP.command()(main)


class Node(BaseModel):
    """Holds itself, as a tree does."""

    name: str
    inside: list[Node] = []


class Neighbour(BaseModel):
    id: str
    title: str | None = None


async def search(q: str, k: int = 10) -> None: ...


ASKED = {"text": (str, ...), "k": (int, 10), "mode": (Literal["dense", "lexical"], "dense"), "langs": (list[str], [])}
ANSWERED = {
    "id": (str, ...),
    "score": (float, ...),
    "label": (Literal["good", "bad"], ...),
    "near": (list[Neighbour], ...),
    "tree": (Node | None, ...),
}


def described(
    asked: dict[str, Any] | None = None,
    answered: dict[str, Any] | None = None,
    path: str = "/v1/similar",
    statuses: tuple[int, ...] = (404,),
    query: Callable[..., Any] = search,
) -> dict[str, Any]:
    app = FastAPI()
    ask = create_model("Ask", **(ASKED if asked is None else asked))
    answer = create_model("Answer", **(ANSWERED if answered is None else answered))

    async def similar(body: Any) -> Any: ...

    similar.__annotations__["body"] = ask
    app.post(path, response_model=answer, responses={status: {"model": Neighbour} for status in statuses})(similar)
    app.get("/v1/search")(query)
    return app.openapi()


def without(fields: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name not in names}


async def without_k(q: str) -> None: ...
async def with_lang(q: str, lang: str, k: int = 10) -> None: ...
async def with_optional_lang(q: str, k: int = 10, lang: str | None = None) -> None: ...
async def k_is_text(q: str, k: Literal["few", "many"] = "few") -> None: ...
async def q_is_optional(q: str | None = None, k: int = 10) -> None: ...


class Deeper(Neighbour):
    id: int


SAFE = {
    "nothing": {},
    "a new optional field is asked": {"asked": ASKED | {"extra": (int, 3)}},
    "a new field is answered": {"answered": ANSWERED | {"extra": (int, ...)}},
    "more values are taken": {"asked": ASKED | {"mode": (Literal["dense", "lexical", "hybrid"], "dense")}},
    "fewer values are given": {"answered": ANSWERED | {"label": (Literal["good"], ...)}},
    "what was needed may be left out": {"asked": ASKED | {"text": (str, "")}},
    "more types are taken": {"asked": ASKED | {"k": (int | None, None)}},
    "a number is taken for an integer": {"asked": ASKED | {"k": (float, 10)}},
    "an integer is given for a number": {"answered": ANSWERED | {"score": (int, ...)}},
    "a new status": {"statuses": (404, 409)},
    "a new optional parameter": {"query": with_optional_lang},
    "a parameter may be left out": {"query": q_is_optional},
}
BREAKING = {
    "path": ({"path": "/v2/similar"}, ["POST /v1/similar: removed"]),
    "status": ({"statuses": ()}, ["POST /v1/similar: status 404 removed"]),
    "asked-removed": ({"asked": without(ASKED, "langs")}, ["POST /v1/similar body.langs: removed"]),
    "asked-needed": ({"asked": ASKED | {"k": (int, ...)}}, ["POST /v1/similar body.k: now needed"]),
    "asked-new-needed": ({"asked": ASKED | {"z": (int, ...)}}, ["POST /v1/similar body.z: now needed"]),
    "asked-type": ({"asked": ASKED | {"k": (str, "10")}}, ["POST /v1/similar body.k: no longer takes integer"]),
    "asked-items": (
        {"asked": ASKED | {"langs": (list[int], [])}},
        ["POST /v1/similar body.langs[]: no longer takes string"],
    ),
    "asked-value": (
        {"asked": ASKED | {"mode": (Literal["dense"], "dense")}},
        ['POST /v1/similar body.mode: no longer takes "lexical"'],
    ),
    "answered-removed": ({"answered": without(ANSWERED, "score")}, ["POST /v1/similar 200.score: removed"]),
    "answered-missing": (
        {"answered": ANSWERED | {"score": (float, 0.0)}},
        ["POST /v1/similar 200.score: may now be missing"],
    ),
    "answered-null": (
        {"answered": ANSWERED | {"score": (float | None, ...)}},
        ["POST /v1/similar 200.score: may now be null"],
    ),
    "answered-number": (
        {"answered": ANSWERED | {"id": (float, ...)}},
        ["POST /v1/similar 200.id: may now be number"],
    ),
    "answered-value": (
        {"answered": ANSWERED | {"label": (Literal["good", "bad", "mixed"], ...)}},
        ['POST /v1/similar 200.label: may now be "mixed"'],
    ),
    "answered-any-value": (
        {"answered": ANSWERED | {"label": (str, ...)}},
        ["POST /v1/similar 200.label: may now be any value"],
    ),
    "answered-deep": (
        {"answered": ANSWERED | {"near": (list[Deeper], ...)}},
        ["POST /v1/similar 200.near[].id: may now be integer"],
    ),
    "parameter": ({"query": without_k}, ["GET /v1/search: parameter query k removed"]),
    "parameter-needed": ({"query": with_lang}, ["GET /v1/search: parameter query lang is now needed"]),
    "parameter-type": ({"query": k_is_text}, ["GET /v1/search query k: no longer takes integer"]),
}


@pytest.mark.parametrize("change", SAFE.values(), ids=SAFE.keys())
def test_what_breaks_nobody(change: dict[str, Any]) -> None:
    assert breaks(described(), described(**change)) == []


@pytest.mark.parametrize(("change", "lines"), BREAKING.values(), ids=BREAKING.keys())
def test_what_breaks_a_client(change: dict[str, Any], lines: list[str]) -> None:
    assert breaks(described(), described(**change)) == lines


def test_the_published_document_is_kept_and_up_to_date() -> None:
    published, now = PUBLISHED.read_text(encoding="utf-8"), document()
    assert breaks(json.loads(published), now) == []
    assert published == text_of(now), "python -m serve.openapi docs/openapi.json"


def test_writing_it_anew_refuses_breaks(tmp_path: Path) -> None:
    file = tmp_path / "openapi.json"
    old = document()
    old["paths"]["/v1/gone"] = {"get": {"responses": {}}}
    file.write_text(text_of(old), encoding="utf-8")
    refused = CliRunner().invoke(APP, [str(file)])
    assert (refused.exit_code, refused.stderr) == (1, "GET /v1/gone: removed\n")
    assert file.read_text(encoding="utf-8") == text_of(old)
    assert CliRunner().invoke(APP, [str(file), "--accept-breaks"]).exit_code == 0
    assert CliRunner().invoke(APP, [str(file)]).exit_code == 0
    assert file.read_text(encoding="utf-8") == text_of(document())
