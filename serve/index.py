"""The index: similar documents, search and cards, over memory-mapped files that all replicas of a node share."""

from __future__ import annotations

import asyncio
import datetime as dt
from dataclasses import asdict
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from ray import serve
from ray.serve.handle import DeploymentHandle

from kartoteka.catalogue import Catalogue
from kartoteka.online.filters import Filters
from kartoteka.storage import Storage
from kartoteka.telemetry import span
from serve.calls import EncoderCalls
from serve.editions import Context, EditionRef, Held
from serve.settings import AppSettings

if TYPE_CHECKING:
    from kartoteka.online.index import SearchIndex
    from kartoteka.online.query import Hit


@serve.deployment
class Index:
    """Replicas map the editions' indexes. Searches run in threads: their kernels release the interpreter's lock."""

    def __init__(self, settings: dict[str, Any], encoder: DeploymentHandle) -> None:
        self.calls = EncoderCalls(encoder, AppSettings.parse(settings))
        self.held = Held(open_index)

    async def reconfigure(self, config: dict[str, Any]) -> None:
        """Map another edition."""
        await self.held.take_up(config)

    async def holds(self, context: Context) -> dict[str, Any]:
        """Facts of the edition's index, once it is mapped. Raises `ValueError`: it cannot be."""
        index = await self.held.get(context.edition)
        return {"documents": index.documents, "dimension": index.dimension, "languages": list(index.languages)}

    async def similar(
        self,
        context: Context,
        text: str | None,
        ids: list[str],
        lang: str | None,
        k: int,
        mode: str,
        filters: dict[str, Any],
    ) -> list[dict[str, Any]]:
        """The k documents most like a text, or like those of `ids`. Raises `ValueError`, `UnknownDocuments`."""
        from kartoteka.online.query import Query

        with span("similar", {"mode": mode, "k": k}, carriers=context.traces):
            index = await self.held.get(context.edition)
            vector = None
            if text is not None and mode != "lexical":
                vector = (await self.calls.encode(Context.here(context.edition), [text])).vectors[0]
            query = Query(text, lang, vector, tuple(ids))

            def work() -> list[dict[str, Any]]:
                return [hit_of(hit) for hit in index.similar(query, k, mode, filters_of(filters, context.edition))]

            return await asyncio.to_thread(work)

    async def search(
        self, context: Context, q: str, k: int, offset: int, lang: str | None, filters: dict[str, Any]
    ) -> dict[str, Any]:
        """A page of the documents that share a word with `q`: `total` and `results`."""
        with span("search", {"k": k, "offset": offset}, carriers=context.traces):
            index = await self.held.get(context.edition)

            def work() -> dict[str, Any]:
                found = index.search(q, k, offset, filters_of(filters, context.edition), lang)
                return {"total": found.total, "results": [asdict(hit) for hit in found.hits]}

            return await asyncio.to_thread(work)

    async def card(self, context: Context, identity: str) -> dict[str, Any]:
        """The card of a document, with similar ones. Raises `UnknownDocuments`."""
        with span("card", carriers=context.traces):
            index = await self.held.get(context.edition)
            found = await asyncio.to_thread(index.card, identity)
            return asdict(found.card) | {"similar": [hit_of(hit) for hit in found.similar]}


def open_index(ref: EditionRef) -> SearchIndex:
    """Map the indexes of an edition. Raises `ValueError` naming what is missing."""
    from kartoteka.online.index import SearchIndex

    index = SearchIndex.open(ref.path)
    index.warm_up()
    return index


def filters_of(values: dict[str, Any], ref: EditionRef) -> Filters:
    """Filters from a request's. Raises `ValueError`: `new_since` is no edition beside the one that is served."""
    values = dict(values)
    since = values.pop("new_since", None)
    added = values.pop("added_since", None)
    return Filters(
        **{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()},
        added_since=dt.date.fromisoformat(added) if added else None,
        not_in=catalogue_beside(ref, since) if since else None,
    )


def catalogue_beside(ref: EditionRef, name: str) -> Catalogue:
    """The catalogue of the edition `name` in the folder that holds the edition `ref`. Raises `ValueError`."""
    try:
        return catalogue_of(EditionRef.of(f"{ref.path.rstrip('/').rpartition('/')[0]}/{name}"))
    except (ValueError, OSError):
        raise ValueError(f"new_since: there is no edition {name!r} beside the one that is served") from None


def hit_of(hit: Hit) -> dict[str, Any]:
    """A hit as it is answered, its reasons together."""
    values = asdict(hit)
    return values | {"why": {name: values.pop(name) for name in ("keyphrases", "terms")}}


@lru_cache(maxsize=4)
def catalogue_of(ref: EditionRef) -> Catalogue:
    """The catalogue of an edition."""
    return Catalogue.open(Storage(ref.path).local("catalogue"))
