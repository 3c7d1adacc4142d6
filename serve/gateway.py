"""The gateway: HTTP in, calls of the other deployments out. It decides which edition a request is answered from."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from fastapi import FastAPI
from ray import serve
from ray.exceptions import RayTaskError
from ray.serve.handle import DeploymentHandle

from kartoteka import __version__, edition
from kartoteka.sentiment.classify import identity_of
from kartoteka.telemetry import carrier
from serve import figures
from serve.api import build_api
from serve.calls import EncoderCalls, answer
from serve.editions import Context, EditionRef
from serve.encoder import Encoded
from serve.failures import as_problems
from serve.settings import AppSettings

#: Seconds that a deployment gets to say whether it is ready.
_PATIENCE = 5.0
_log = logging.getLogger(__name__)


@serve.deployment
@serve.ingress()
class Gateway:
    """Replicas hold no model and no index. What the endpoints of `serve.api` ask for, they ask the deployments for."""

    def __init__(
        self,
        settings: dict[str, Any],
        encoder: DeploymentHandle,
        index: DeploymentHandle,
        ranker: DeploymentHandle,
        classifier: DeploymentHandle,
    ) -> None:
        self.settings = AppSettings.parse(settings)
        self.encoder, self.index, self.ranker, self.classifier = encoder, index, ranker, classifier
        self.calls = EncoderCalls(encoder, self.settings)
        self.ref: EditionRef | None = None
        self.facts: dict[str, Any] = {}
        self.refused: tuple[EditionRef, str] | None = None

    def __serve_build_asgi_app__(self) -> FastAPI:
        return build_api(self, self.settings)

    async def reconfigure(self, config: dict[str, Any]) -> None:
        """Answer from another edition, once every deployment holds it; else go on with the one that is served.

        Raises what is wrong when none is served yet.
        """
        ref = EditionRef(**config)
        if ref == self.ref:  # after a refusal, back to what is served: why stays to be told
            return
        try:
            facts = await self._taken_up(ref)
        except Exception as error:
            if self.ref is None:
                raise
            _log.exception("edition %s is refused", ref.name)
            self.refused = ref, refusal(ref, error)
            return
        figures.edition(ref.name, self.ref.name if self.ref else None)
        self.ref, self.facts, self.refused = ref, facts, None

    async def _taken_up(self, ref: EditionRef) -> dict[str, Any]:
        manifest = await asyncio.to_thread(manifest_of, ref)
        context = Context(ref, ())
        encoder, index, _ = await asyncio.gather(
            *(handle.holds.remote(context) for handle in (self.encoder, self.index, self.ranker))
        )
        classifier = await asyncio.to_thread(identity_of, self.settings.classifier)
        models = manifest["models"] | {"encoder": encoder, "sentiment": classifier}
        return {
            "created": manifest["created"],
            "documents": manifest["counts"]["documents"],
            "calibrated": manifest["quality"].get("calibrated", True),
            "models": {role: shown(model) for role, model in models.items()},
            "dimension": index["dimension"],
        }

    @property
    def context(self) -> Context:
        """The edition of a request that begins now, and its trace."""
        assert self.ref is not None, "Serve reconfigures a replica before its first request"
        return Context.here(self.ref)

    def version(self) -> dict[str, Any]:
        """Which edition, which models."""
        assert self.ref is not None
        facts = {name: self.facts[name] for name in ("created", "documents", "models", "calibrated")}
        refused = self.refused[1] if self.refused else None
        own = {"kartoteka": __version__, "edition": self.ref.name, "digest": self.ref.digest, "refused": refused}
        return own | facts

    def dimension(self) -> int:
        """Numbers in a vector of the edition."""
        return self.facts["dimension"]

    def standing(self) -> tuple[EditionRef | None, tuple[EditionRef, str] | None]:
        """Which edition is served, and which was refused last, and why: what a roll-out asks through the handle."""
        return self.ref, self.refused

    async def waiting_for(self) -> list[str]:
        """The deployments that cannot answer now. Those that may scale to zero are not waited for."""
        handles = {"encoder": self.encoder, "index": self.index, "ranker": self.ranker}

        async def slow(name: str, handle: DeploymentHandle) -> str | None:
            try:
                async with asyncio.timeout(_PATIENCE):
                    await handle.holds.remote(self.context)
            except Exception:
                return name
            return None

        found = await asyncio.gather(*(slow(name, handle) for name, handle in handles.items()))
        return [name for name in found if name]

    async def keyphrases(
        self, documents: list[dict[str, Any]], k: int | None, min_score: float
    ) -> tuple[str, list[list[dict[str, Any]]]]:
        """The edition's name, and the keyphrases of each document."""
        with as_problems():
            context = self.context
            return context.edition.name, await answer(self.ranker.keyphrases.remote(context, documents, k, min_score))

    async def similar(self, asked: dict[str, Any]) -> tuple[str, list[dict[str, Any]]]:
        """The edition's name, and the documents most like a text or like some documents."""
        with as_problems():
            context = self.context
            return context.edition.name, await answer(self.index.similar.remote(context, **asked))

    async def search(self, asked: dict[str, Any]) -> dict[str, Any]:
        """A page of documents that share a word with the query."""
        with as_problems():
            context = self.context
            return {"edition": context.edition.name} | await answer(self.index.search.remote(context, **asked))

    async def card(self, identity: str) -> dict[str, Any]:
        """A document as the edition knows it."""
        with as_problems():
            context = self.context
            card = await answer(self.index.card.remote(context, identity))
            return {"edition": context.edition.name, "document": card}

    async def classify(self, texts: list[str]) -> dict[str, Any]:
        """The sentiment of texts."""
        with as_problems():
            return await answer(self.classifier.classify.remote(carrier(), texts))

    async def embed(self, texts: list[str]) -> tuple[str, Encoded]:
        """The encoder's name, and vectors."""
        with as_problems():
            return self.facts["models"]["encoder"]["name"], await self.calls.encode(self.context, texts)


def manifest_of(ref: EditionRef) -> dict[str, Any]:
    """The manifest. Raises `ValueError`: the folder holds another edition by now."""
    ref.check()
    return edition.open(ref.path).manifest


def refusal(ref: EditionRef, error: Exception) -> str:
    """Why an edition is refused, without the folder it lies in."""
    cause = error.cause if isinstance(error, RayTaskError) else error
    reason = str(cause).splitlines()[0] if isinstance(cause, ValueError) else type(cause).__name__
    return f"{ref.name}: {reason.replace(ref.path, ref.name)}"


def shown(model: dict[str, Any]) -> dict[str, Any]:
    """What strangers may know of a model: a name without the folder it lies in, and the hash of its weights."""
    name = str(model.get("name", ""))
    if name.startswith(("/", ".")) or "\\" in name:
        name = name.rstrip("/").rsplit("/", 1)[-1]
    known = {field: model[field] for field in ("sha256", "dimension", "precision") if field in model}
    return {"name": name} | known
