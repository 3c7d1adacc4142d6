"""Problem details: every error in one shape, and nothing of our insides in it."""

from __future__ import annotations

import json
import logging
import pickle
from typing import Literal

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from jsonschema import Draft202012Validator
from pydantic import BaseModel, ConfigDict
from ray.exceptions import ActorDiedError, NodeDiedError, OwnerDiedError, RayTaskError
from ray.serve.exceptions import BackPressureError

from serve.problems import Problem, ProblemDetails, busy, install, responses


class Ask(BaseModel):
    model_config = ConfigDict(extra="forbid")
    texts: list[str]
    mode: Literal["dense", "lexical"] = "dense"
    k: int = 10


def elsewhere(error: Exception) -> Exception:
    """What a handle raises of an error of another replica."""
    return RayTaskError("call", f"Traceback: {error}", error).as_instanceof_cause()


ERRORS = {
    "known": Problem(404, "no document 7", slug="unknown-document", extensions={"id": "7"}),
    "remote": elsewhere(Problem(404, "no document 7", slug="unknown-document", extensions={"id": "7"})),
    "full": BackPressureError(9, 8, 503, 2.5),
    "remote-full": elsewhere(BackPressureError(9, 8, 503, 2.5)),
    "died": ActorDiedError(),
    "remote-died": elsewhere(ActorDiedError()),
    "remote-node": elsewhere(NodeDiedError("secret-host")),
    "remote-lost": elsewhere(OwnerDiedError("0" * 56, None, "secret")),
    "fault": ValueError("/srv/secret.py: weights are torn"),
    "remote-fault": elsewhere(ValueError("/srv/secret.py: weights are torn")),
}


@pytest.fixture(scope="module")
def client() -> TestClient:
    app = FastAPI()
    install(app)

    @app.get("/raise/{name}", responses=responses(404, 503))
    async def fail(name: str) -> None:
        raise ERRORS[name]

    @app.post("/ask")
    async def ask(body: Ask) -> int:
        return len(body.texts)

    return TestClient(app)


def problem(answer) -> dict:
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    Draft202012Validator(ProblemDetails.model_json_schema()).validate(body)
    assert body["status"] == answer.status_code
    assert "secret" not in answer.text
    assert "Traceback" not in answer.text
    return body


@pytest.mark.parametrize("name", ["known", "remote"])
def test_a_problem_is_the_answer_wherever_it_was_raised(client: TestClient, name: str) -> None:
    body = problem(client.get(f"/raise/{name}"))
    assert body == {
        "type": "urn:kartoteka:problem:unknown-document",
        "title": "Not Found",
        "status": 404,
        "detail": "no document 7",
        "id": "7",
    }


@pytest.mark.parametrize("name", ["full", "remote-full"])
def test_a_full_queue_says_when_to_come_again(client: TestClient, name: str) -> None:
    answer = client.get(f"/raise/{name}")
    assert problem(answer)["status"] == 503
    assert answer.headers["retry-after"] == "3"


@pytest.mark.parametrize("name", ["died", "remote-died", "remote-node", "remote-lost"])
def test_a_lost_replica_is_a_reason_to_ask_again(client: TestClient, name: str) -> None:
    answer = client.get(f"/raise/{name}")
    assert (problem(answer)["status"], answer.headers["retry-after"]) == (503, "1")


@pytest.mark.parametrize("name", ["fault", "remote-fault"])
def test_a_fault_shows_only_the_id_under_which_it_is_logged(
    client: TestClient, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        body = problem(client.get(f"/raise/{name}"))
    assert body["detail"] == "internal error"
    (record,) = [r for r in caplog.records if r.name == "serve.problems"]
    assert body["instance"] in record.getMessage()
    assert "weights are torn" in caplog.text


def test_each_wrong_field_is_named(client: TestClient) -> None:
    body = problem(client.post("/ask", json={"texts": ["a", 3], "mode": "fuzzy", "kk": 1}))
    assert {e["field"] for e in body["errors"]} == {"texts.1", "mode", "kk"}
    assert body["detail"].startswith("texts.1 ")
    assert body["detail"].endswith("and 2 more errors")


def test_a_request_is_not_sent_back(client: TestClient) -> None:
    long = "x" * 10_000
    answer = client.post("/ask", json={"texts": [{"a": long}] * 5000, long: 1})
    problem(answer)
    assert len(answer.content) < 10_000
    assert "x" * 101 not in answer.text


@pytest.mark.parametrize(
    "sent",
    [b"", b"{", b"\xff\xfe", b"null", b"[]", b'{"texts": NaN}', rb'{"texts": [], "\ud800": 1}'],
)
def test_broken_bodies(client: TestClient, sent: bytes) -> None:
    answer = client.post("/ask", content=sent, headers={"content-type": "application/json"})
    assert problem(answer)["status"] in (400, 422)


def test_routes_and_methods_that_are_not(client: TestClient) -> None:
    assert problem(client.get("/nothing"))["status"] == 404
    answer = client.get("/ask")
    assert problem(answer)["status"] == 405
    assert answer.headers["allow"] == "POST"


def test_the_document_describes_problems(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    content = document["paths"]["/raise/{name}"]["get"]["responses"]["404"]["content"]
    (media,) = content
    assert media == "application/problem+json"
    assert content[media]["schema"]["$ref"].rsplit("/", 1)[1] in document["components"]["schemas"]
    assert "FieldError" in document["components"]["schemas"]


def test_problems_travel_between_processes() -> None:
    one = busy("later", 0.2)
    other = pickle.loads(pickle.dumps(one))
    assert (other.status, other.body(), other.headers) == (503, one.body(), {"Retry-After": "1"})
    assert json.loads(other.response().body) == one.body()
