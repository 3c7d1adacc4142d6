"""The endpoints: what comes in is checked, the service is asked, and the answer goes out as JSON at once.

Answers are written by orjson, not by way of their models: a thousand vectors would take longer to validate than to
make. The models describe them in `/docs`, and the tests hold the answers to them.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Annotated, Any, Protocol

import numpy as np
import orjson
from fastapi import FastAPI, Path, Query, Response
from fastapi.middleware.cors import CORSMiddleware
from fastapi_offline import FastAPIOffline
from pydantic import BaseModel

from kartoteka import __version__
from serve import access, answers, figures, limits, observe, problems
from serve.encoder import Encoded
from serve.problems import Problem
from serve.schemas import (
    EmbeddingsRequest,
    FiltersIn,
    KeyphrasesRequest,
    SearchQuery,
    SimilarRequest,
    TextsRequest,
)
from serve.settings import AppSettings
from serve.sharing import Shared

_DEADLINE = {
    "name": limits.DEADLINE,
    "in": "header",
    "description": "Seconds after which the answer is of no use any more, and the work for it ends.",
    "schema": {"type": "number", "exclusiveMinimum": 0},
}


class Service(Protocol):
    """What the endpoints ask; `serve.gateway.Gateway` is one."""

    def version(self) -> dict[str, Any]: ...  # noqa: D102
    def dimension(self) -> int: ...  # noqa: D102
    async def waiting_for(self) -> list[str]: ...  # noqa: D102
    async def keyphrases(self, documents: list[dict[str, Any]], k: int | None, min_score: float) -> Any: ...  # noqa: D102
    async def similar(self, asked: dict[str, Any]) -> Any: ...  # noqa: D102
    async def search(self, asked: dict[str, Any]) -> dict[str, Any]: ...  # noqa: D102
    async def card(self, identity: str) -> dict[str, Any]: ...  # noqa: D102
    async def classify(self, texts: list[str]) -> dict[str, Any]: ...  # noqa: D102
    async def embed(self, texts: list[str]) -> tuple[str, Encoded]: ...  # noqa: D102


def build_api(service: Service, settings: AppSettings) -> FastAPI:
    """The application over a service. Raises `ValueError`: the file of keys cannot be read."""
    api = FastAPIOffline(  # its pages come with it: a reader may have no way to the world outside
        title="Kartoteka",
        version=__version__,
        description="Keyphrases with their reasons, similar documents, search, sentiment and vectors over an edition.",
        telemetry=observe.NO_TELEMETRY,
    )
    problems.install(api)
    api.add_middleware(limits.Limits, settings=settings)
    api.add_middleware(access.Door, keys=access.Keys.open(settings.keys))
    if settings.cors_origins:
        api.add_middleware(
            CORSMiddleware, allow_origins=settings.cors_origins, allow_methods=["GET", "POST"], allow_headers=["*"]
        )
    api.add_middleware(observe.Observed)

    _add_documents(api, service, settings)
    _add_texts(api, service, settings)
    _add_status(api, service)
    return api


def _add_documents(api: FastAPI, service: Service, settings: AppSettings) -> None:
    """Keyphrases, similarity, search and cards."""

    @api.post("/v1/keyphrases", **_answers("keyphrases", answers.KeyphrasesAnswer))
    async def keyphrases(body: KeyphrasesRequest) -> Response:
        """Keyphrases of documents, in the order of the re-index, each with its reasons."""
        documents = [document.model_dump() for document in body.documents]
        texts = [document[name] for document in documents for name in ("title", "abstract")]
        check_texts(texts, settings, "documents", len(documents))
        name, found = await service.keyphrases(documents, body.k, body.min_score)
        return json({"edition": name, "results": [{"keyphrases": phrases} for phrases in found]})

    @api.post("/v1/similar", **_answers("similar", answers.SimilarAnswer, 404))
    async def similar(body: SimilarRequest) -> Response:
        """Documents like a text or like documents of the edition, and why."""
        check_texts([body.text] if body.text else [], settings, "text")
        asked = body.model_dump(mode="json") | {"ids": body.ids or []}
        name, hits = await service.similar(asked)
        return json({"edition": name, "results": hits})

    @api.get("/v1/search", **_answers("search", answers.SearchAnswer))
    async def search(query: Annotated[SearchQuery, Query()]) -> Response:
        """Documents that hold words of the query, best first, with the words marked."""
        asked = query.model_dump(mode="json")
        filters = {name: asked.pop(name) for name in FiltersIn.model_fields}
        return json(await service.search(asked | {"filters": filters}))

    @api.get("/v1/documents/{id:path}", **_answers("documents", answers.CardAnswer, 404))
    async def document(id: Annotated[str, Path(min_length=1, max_length=1000)]) -> Response:  # noqa: A002
        """The card of a document: its text, keyphrases, cluster, and similar documents."""
        return json(await service.card(id))


def _add_texts(api: FastAPI, service: Service, settings: AppSettings) -> None:
    """Sentiment and vectors."""

    @api.post("/v1/sentiment", **_answers("sentiment", answers.SentimentAnswer))
    async def sentiment(body: TextsRequest) -> Response:
        """Whether texts are negative, neutral or positive."""
        check_texts(body.texts, settings, "texts", len(body.texts))
        return json(await service.classify(body.texts))

    @api.post("/v1/embed", **_answers("embed", answers.EmbedAnswer))
    async def embed(body: TextsRequest) -> Response:
        """Unit vectors of texts, by the encoder of the edition."""
        check_texts(body.texts, settings, "texts", len(body.texts))
        model, found = await service.embed(body.texts)
        return json({"model": model, "dimension": found.vectors.shape[1], "vectors": found.vectors})

    @api.post("/v1/embeddings", **_answers("embed", answers.EmbeddingsAnswer))
    async def embeddings(body: EmbeddingsRequest) -> Response:
        """The same for clients of OpenAI's interface."""
        texts = [body.input] if isinstance(body.input, str) else body.input
        check_texts(texts, settings, "input", len(texts))
        dimension = service.dimension()
        if body.dimensions not in (None, dimension):
            raise Problem(422, f"dimensions: the vectors have {dimension}", slug="invalid-request")
        model, found = await service.embed(texts)
        coded = body.encoding_format == "base64"
        data = [
            {"object": "embedding", "index": i, "embedding": base64.b64encode(v).decode() if coded else v}
            for i, v in enumerate(np.ascontiguousarray(found.vectors, "<f4"))
        ]
        usage = dict.fromkeys(("prompt_tokens", "total_tokens"), int(found.tokens.sum()))
        return json({"object": "list", "data": data, "model": model, "usage": usage})


def _add_status(api: FastAPI, service: Service) -> None:
    """What machines ask, and anybody may."""
    waiting_for, figures_of_all = Shared(lambda: service.waiting_for(), 1.0), Shared(figures.render, 5.0)

    @api.get("/healthz", response_model=answers.Health)
    async def healthz() -> Response:
        """The process answers."""
        return json({"status": "ok"})

    @api.get("/readyz", response_model=answers.Ready, responses={503: {"model": answers.Ready}})
    async def readyz() -> Response:
        """Every part of the service holds the edition."""
        waiting = await waiting_for.get()
        status = "not ready" if waiting else "ready"
        return json({"status": status, "waiting_for": waiting}, 503 if waiting else 200)

    @api.get("/version", response_model=answers.Version)
    async def version() -> Response:
        """Which edition is served, by which models."""
        return json(service.version())

    @api.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
    async def metrics() -> Response:
        """Figures of all replicas, as Prometheus reads them."""
        return Response(await figures_of_all.get(), media_type=figures.CONTENT_TYPE)


def _answers(scope: access.Scope, model: type[BaseModel], *also: int) -> dict[str, Any]:
    """What an endpoint may answer: its model, or a problem; and the scope that a key needs."""
    found = problems.responses(400, 401, 403, 413, 422, 429, 500, 503, 504, *also)
    own = {"response_model": model, "responses": found, "dependencies": [access.needs(scope)]}
    return own | {"openapi_extra": {"parameters": [_DEADLINE]}}


def check_texts(texts: Sequence[str], settings: AppSettings, field: str, count: int = 1) -> None:
    """Refuse too many texts, and texts that are too long, by a problem."""
    if count > settings.max_texts:
        raise Problem(413, f"{field}: {count} in one request, {settings.max_texts} are taken", slug="too-many-texts")
    for text in texts:
        if len(text) > settings.max_text_characters:
            most = settings.max_text_characters
            raise Problem(413, f"{field}: a text of {len(text)} characters, {most} are read", slug="text-too-long")


def json(value: Any, status: int = 200) -> Response:
    """`value` as JSON; arrays of numpy too."""
    return Response(orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY), status, media_type="application/json")
