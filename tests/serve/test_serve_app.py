"""The whole service over HTTP: every endpoint answers what the library says, and bad requests get clear problems."""

from __future__ import annotations

import base64
import re
import time
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest

from kartoteka import edition
from kartoteka.encoding.encoder import load_encoder
from kartoteka.online.filters import Filters
from kartoteka.online.index import SearchIndex
from kartoteka.online.query import MOST_HITS, Query
from kartoteka.sentiment.classify import open_classifier
from serve import answers


@pytest.fixture(scope="module")
def http(served: Any) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=served.url, headers={"X-API-Key": served.key}, timeout=60) as client:
        yield client


@pytest.fixture(scope="module")
def documents(served: Any) -> list[dict[str, Any]]:
    return edition.open(served.edition).table("documents").to_table().to_pylist()


def test_a_document_gets_online_what_the_reindex_gave_it(http: Any, served: Any, documents: Any) -> None:
    rows = edition.open(served.edition).table("keyphrases").to_table().to_pylist()
    given = {row["id"]: row["keyphrases"] for row in rows}
    body = {"documents": [{name: d[name] for name in ("id", "title", "abstract", "lang")} for d in documents]}
    answer = answers.KeyphrasesAnswer.model_validate(http.post("/v1/keyphrases", json=body).raise_for_status().json())
    assert answer.edition == "edition"
    assert len(answer.results) == len(documents) == 200
    for document, result in zip(documents, answer.results, strict=True):
        expected = given[document["id"]]
        assert [k.phrase for k in result.keyphrases] == [k["phrase"] for k in expected]
        assert [k.score for k in result.keyphrases] == pytest.approx([k["score"] for k in expected], abs=1e-3)
        assert [k.neighbours for k in result.keyphrases] == [k["neighbours"] for k in expected]


def test_a_new_document_gets_keyphrases_that_say_why(http: Any) -> None:
    body = {"documents": {"title": "Query expansion for a search engine", "abstract": "We expand queries."}, "k": 3}
    (result,) = http.post("/v1/keyphrases", json=body).raise_for_status().json()["results"]
    assert 1 <= len(result["keyphrases"]) <= 3
    best = result["keyphrases"][0]
    assert best["phrase"] in ("query expansion", "search engine")
    assert best["category"] == "present"
    assert best["neighbours"]


def test_vectors_are_the_encoders(http: Any, served: Any) -> None:
    texts = ["gradient descent", "ядерный реактор", "x" * 3000]
    expected = load_encoder(str(served.encoder)).encode(texts)
    answer = answers.EmbedAnswer.model_validate(http.post("/v1/embed", json={"texts": texts}).raise_for_status().json())
    assert answer.dimension == expected.shape[1]
    np.testing.assert_allclose(answer.vectors, expected, atol=1e-5)
    asked = {"input": texts, "model": "text-embedding-3-small", "encoding_format": "base64", "user": "somebody"}
    openai = answers.EmbeddingsAnswer.model_validate(http.post("/v1/embeddings", json=asked).raise_for_status().json())
    decoded = [np.frombuffer(base64.b64decode(one.embedding), "<f4") for one in openai.data]
    np.testing.assert_allclose(decoded, expected, atol=1e-5)
    assert openai.usage.total_tokens > len(texts)


@pytest.mark.parametrize("mode", ["dense", "lexical", "hybrid"])
def test_similar_is_what_the_library_finds(http: Any, served: Any, mode: str) -> None:
    index = SearchIndex.open(str(served.edition))
    text = "fuel assembly and heat transfer"
    vector = load_encoder(str(served.encoder)).encode([text])[0]
    expected = index.similar(Query(text, None, vector, ()), 5, mode, Filters(year_from=2000))
    body = {"text": text, "k": 5, "mode": mode, "filters": {"year_from": 2000}}
    answer = answers.SimilarAnswer.model_validate(http.post("/v1/similar", json=body).raise_for_status().json())
    assert [hit.id for hit in answer.results] == [hit.id for hit in expected]
    assert all(hit.year >= 2000 for hit in answer.results)
    assert [hit.score for hit in answer.results] == pytest.approx([hit.score for hit in expected], rel=1e-4)


def test_similar_to_documents_leaves_them_out(http: Any, documents: Any) -> None:
    ids = [documents[0]["id"], documents[5]["id"]]
    results = http.post("/v1/similar", json={"ids": ids, "k": 20}).raise_for_status().json()["results"]
    assert len(results) == 20
    assert not {hit["id"] for hit in results} & set(ids)
    assert results[0]["why"]["keyphrases"] or results[0]["why"]["terms"]


def test_search_marks_what_it_found(http: Any) -> None:
    answer = http.get("/v1/search", params={"q": "reactors", "k": 5, "langs": "en,fr"}).raise_for_status().json()
    answers.SearchAnswer.model_validate(answer)
    assert answer["total"] >= 5
    for hit in answer["results"]:
        marked = [hit["title"][a:b] for a, b in hit["title_marks"]] + [
            hit["snippet"][a:b] for a, b in hit["snippet_marks"]
        ]
        assert marked
        assert all("reactor" in word.lower() for word in marked)
    second = http.get("/v1/search", params={"q": "reactors", "k": 3, "offset": 2, "langs": "en"}).json()
    whole = http.get("/v1/search", params={"q": "reactors", "k": 5, "langs": "en"}).json()
    assert second["results"] == whole["results"][2:5]


def test_the_card_of_a_document(http: Any, documents: Any) -> None:
    answer = http.get(f"/v1/documents/{documents[1]['id']}").raise_for_status().json()
    card = answers.CardAnswer.model_validate(answer).document
    assert card.title == documents[1]["title"]
    assert card.keyphrases
    assert card.cluster["size"] >= 1
    assert len(card.similar) == 5


def test_sentiment_is_the_classifiers(http: Any, tiny_classifier: str) -> None:
    texts = ["отлично", "ужасно", "стол"]
    answer = answers.SentimentAnswer.model_validate(http.post("/v1/sentiment", json={"texts": texts}).json())
    expected = open_classifier(tiny_classifier).classify(texts)[0]
    found = [[r.probabilities.negative, r.probabilities.neutral, r.probabilities.positive] for r in answer.results]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_status(http: Any, served: Any) -> None:
    assert http.get("/healthz").json() == {"status": "ok"}
    assert http.get("/readyz").json() == {"status": "ready", "waiting_for": []}
    version = answers.Version.model_validate(http.get("/version").json())
    assert version.documents == 200
    assert version.models["encoder"]["sha256"]
    assert str(served.edition.parent) not in http.get("/version").text
    assert http.get("/metrics").status_code in (200, 503)  # the node's agent may still be starting


DOCUMENT = {"title": "A title", "abstract": "A text."}
BAD = {
    "empty text": ("/v1/embed", {"texts": [""]}, 422),
    "no text": ("/v1/embed", {"texts": []}, 422),
    "long text": ("/v1/embed", {"texts": ["word " * 200_000]}, 413),
    "10,000 texts": ("/v1/embed", {"texts": ["a"] * 10_000}, 413),
    "10,000 sentiments": ("/v1/sentiment", {"texts": ["a"] * 10_000}, 413),
    "a body over the limit": ("/v1/embed", {"texts": ["x" * (9 << 20)]}, 413),
    "a number for a text": ("/v1/embed", {"texts": [1]}, 422),
    "half a character": ("/v1/embed", '{"texts": ["\\ud800"]}', 422),
    "unknown field": ("/v1/embed", {"texts": ["a"], "textz": 1}, 422),
    "not JSON": ("/v1/embed", "{", 422),
    "nothing": ("/v1/keyphrases", {"documents": [{"title": "", "abstract": " "}]}, 422),
    "only digits": ("/v1/keyphrases", {"documents": [DOCUMENT, {"title": "123"}]}, 422),
    "k = 0": ("/v1/keyphrases", {"documents": [DOCUMENT], "k": 0}, 422),
    "k = 10^9": ("/v1/similar", {"text": "a", "k": 10**9}, 422),
    "NaN": ("/v1/keyphrases", '{"documents": [{"title": "A title"}], "min_score": NaN}', 422),
    "unknown language": ("/v1/keyphrases", {"documents": [DOCUMENT | {"lang": "zz"}]}, 422),
    "no language": ("/v1/keyphrases", {"documents": [DOCUMENT | {"lang": "klingon"}]}, 422),
    "unknown ids": ("/v1/similar", {"ids": ["nobody", "doc-0001"]}, 404),
    "text and ids": ("/v1/similar", {"text": "a", "ids": ["doc-0001"]}, 422),
    "neither": ("/v1/similar", {}, 422),
    "unknown mode": ("/v1/similar", {"text": "a", "mode": "best"}, 422),
    "years turned round": ("/v1/similar", {"text": "a", "filters": {"year_from": 2000, "year_to": 1990}}, 422),
    "unknown edition": ("/v1/similar", {"text": "a", "filters": {"new_since": "nothing"}}, 422),
    "a path for an edition": ("/v1/similar", {"text": "a", "filters": {"new_since": "../edition"}}, 422),
    "dimensions": ("/v1/embeddings", {"input": "a", "dimensions": 7}, 422),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_a_clear_problem_and_the_next_request_is_served(http: Any, served: Any, name: str) -> None:
    path, body, status = BAD[name]
    asked = (
        {"content": body, "headers": {"content-type": "application/json"}} if isinstance(body, str) else {"json": body}
    )
    response = http.post(path, **asked)
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert problem["status"] == status
    assert problem["detail"]
    for secret in (str(served.edition.parent), "Traceback", ".py"):
        assert secret not in response.text
    assert http.post("/v1/embed", json={"texts": ["next"]}).status_code == 200


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"q": ""},
        {"q": "..."},
        {"q": "a", "k": 0},
        {"q": "a", "k": MOST_HITS + 1},
        {"q": "a", "offset": -1},
        {"q": "a", "offset": 9999, "k": 2},
        {"q": "a", "lang": "zz"},
        {"q": "a", "year": 3},
    ],
)
def test_a_bad_query_string_is_a_clear_problem(http: Any, query: dict[str, Any]) -> None:
    response = http.get("/v1/search", params=query)
    assert response.status_code == 422, response.text
    assert response.json()["status"] == 422


def test_unknown_documents_and_paths(http: Any) -> None:
    assert http.get("/v1/documents/nobody").status_code == 404
    assert http.get("/v1/nothing").json()["status"] == 404
    assert http.get("/v1/embed").json()["status"] == 405


def test_without_the_right_key_nothing_is_told(served: Any) -> None:
    for headers in ({}, {"X-API-Key": "kt_wrong"}, {"Authorization": "Bearer kt_wrong"}):
        response = httpx.post(f"{served.url}/v1/embed", json={"texts": ["a"]}, headers=headers)
        assert response.status_code == 401
        assert response.headers["www-authenticate"].startswith("Bearer")
    bearer = {"Authorization": f"Bearer {served.key}"}
    assert httpx.post(f"{served.url}/v1/embed", json={"texts": ["a"]}, headers=bearer).status_code == 200


def test_a_deadline_that_cannot_be_kept(http: Any) -> None:
    response = http.post("/v1/embed", json={"texts": ["word " * 900] * 300}, headers={"X-Request-Timeout": "0.001"})
    assert response.status_code == 504
    assert http.post("/v1/embed", json={"texts": ["next"]}).status_code == 200


def test_the_reference_needs_nothing_from_outside(http: Any) -> None:
    page = http.get("/docs").raise_for_status().text
    found = re.findall(r"(?:src|href)=\"([^\"]+)\"", page)
    assert found
    for link in found:
        assert http.get(link).status_code == 200
    assert http.get("/openapi.json").json()["info"]["title"] == "Kartoteka"


def test_a_trace_goes_from_the_request_to_the_batch_and_to_the_shards(http: Any, served: Any) -> None:
    trace = "4bf92f3577b34da6a3ce929d0e0e4737"
    sent = {"traceparent": f"00-{trace}-00f067aa0ba902b7-01"}
    response = http.post("/v1/similar", json={"text": "gradient descent", "k": 3}, headers=sent).raise_for_status()
    assert response.headers["traceresponse"].split("-")[1] == trace
    wanted = {"POST /v1/similar", "similar", "encode", "batch", "vector shard", "lexical shard"}
    deadline = time.monotonic() + 20
    own: dict[str, Any] = {}
    while not wanted <= own.keys() and time.monotonic() < deadline:
        own = {span.name: span for span in list(served.spans) if span.trace_id.hex() == trace}
        time.sleep(0.1)
    assert wanted <= own.keys()
    for child, parent in [
        ("similar", "POST /v1/similar"),
        ("encode", "similar"),
        ("batch", "encode"),
        ("vector shard", "similar"),
    ]:
        assert own[child].parent_span_id == own[parent].span_id
    assert not any("gradient" in str(span) for span in own.values())


def test_a_client_of_openai_needs_no_other_url(http: Any) -> None:
    answer = http.post("/v1/embeddings", json={"input": "one text", "model": "any"}).raise_for_status().json()
    assert answer["data"][0]["object"] == "embedding"
    assert len(answer["data"]) == 1
