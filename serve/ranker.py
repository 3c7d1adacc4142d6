"""The ranker: keyphrases of documents that come in, as `reindex` gives them to the documents of the edition."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from ray import serve
from ray.serve.handle import DeploymentHandle

from kartoteka.keyphrases.spans import Trained
from kartoteka.telemetry import span
from serve.calls import EncoderCalls
from serve.editions import Context, EditionRef, Held
from serve.settings import AppSettings

if TYPE_CHECKING:
    from kartoteka.online.keyphrases import Indexer

#: Documents ranked together: the arrays of a batch stay small, and its fixed costs are shared.
MOST = 64


@dataclass(frozen=True, slots=True)
class Asked:
    """Documents of one call, at most `MOST`, with what the encoders made of them."""

    indexer: Indexer
    values: list[dict[str, Any]]
    vectors: np.ndarray
    trained: Trained | None
    k: int | None
    min_score: float


def count_documents(asked: list[Asked]) -> int:
    """Documents of a batch."""
    return sum(len(one.values) for one in asked)


@serve.deployment
class Ranker:
    """Replicas map the archive's phrases and vectors, and read the fitted ranker."""

    def __init__(self, settings: dict[str, Any], encoder: DeploymentHandle) -> None:
        self.calls = EncoderCalls(encoder, AppSettings.parse(settings))
        self.held = Held(partial(open_ranking, given=AppSettings.parse(settings).ranker))

    async def reconfigure(self, config: dict[str, Any]) -> None:
        """Map another edition."""
        await self.held.take_up(config)

    async def holds(self, context: Context) -> dict[str, Any]:
        """Nothing but that the edition's archive is mapped. Raises `ValueError`: it cannot be."""
        await self.held.get(context.edition)
        return {}

    async def keyphrases(
        self, context: Context, documents: list[dict[str, Any]], k: int | None, min_score: float
    ) -> list[list[dict[str, Any]]]:
        """The keyphrases of each document (title, abstract, lang, id). Raises `ValueError` naming the document."""
        with span("keyphrases", {"documents": len(documents)}, carriers=context.traces):
            indexer, separator = await self.held.get(context.edition)
            values, texts = await asyncio.to_thread(read, indexer, documents)
            inner = Context.here(context.edition)
            asked = [self.calls.encode(inner, texts)]
            if separator is not None:
                asked.append(self.calls.encode(inner, indexer.texts(values, separator), "ranker"))
            own, *others = await asyncio.gather(*asked)
            trained = Trained(others[0].vectors, others[0].spans) if others else None
            bounds = [(first, min(first + MOST, len(values))) for first in range(0, len(values), MOST)]
            parts = [
                Asked(indexer, values[a:b], own.vectors[a:b], trained and trained.slice(a, b), k, min_score)
                for a, b in bounds
            ]
            return [found for part in await asyncio.gather(*map(self._rank, parts)) for found in part]

    @serve.batch(max_batch_size=MOST, batch_wait_timeout_s=0.0, batch_size_fn=count_documents)
    async def _rank(self, asked: list[Asked]) -> list[list[list[dict[str, Any]]]]:
        return await asyncio.to_thread(rank, asked)


def open_ranking(ref: EditionRef, given: str | None) -> tuple[Indexer, str | None]:
    """Map what ranks keyphrases; with a trained ranker, what its encoder reads between title and abstract.

    `given`: where that ranker is now. Raises `ValueError` naming what is missing.
    """
    from kartoteka.online.keyphrases import Indexer
    from kartoteka.ranking.directory import open_ranker

    indexer = Indexer.open(ref.path)
    indexer.warm_up()
    if not indexer.needs_trained:
        return indexer, None
    return indexer, open_ranker(given or indexer.ranker["name"]).separator


def read(indexer: Indexer, documents: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[str]]:
    """Document values as the re-index reads them, and what the encoder reads of each.

    Raises `ValueError` that names a document by its place.
    """
    values = []
    for number, document in enumerate(documents):
        try:
            values.append(indexer.normalise(document["title"], document["abstract"], document["lang"], document["id"]))
        except ValueError as error:
            raise ValueError(f"documents.{number}: {error}") from None
    return values, indexer.texts(values)


def rank(asked: list[Asked]) -> list[list[list[dict[str, Any]]]]:
    """The keyphrases of each call; calls that ask alike are ranked together."""
    found: dict[int, list[list[dict[str, Any]]]] = {}
    alike: dict[tuple[int, int | None, float], list[int]] = {}
    for number, one in enumerate(asked):
        alike.setdefault((id(one.indexer), one.k, one.min_score), []).append(number)
    for numbers in alike.values():
        some = [asked[number] for number in numbers]
        trained = [one.trained for one in some if one.trained is not None]
        lists = some[0].indexer.suggest(
            [values for one in some for values in one.values],
            np.concatenate([one.vectors for one in some]),
            Trained.concatenate(trained) if trained else None,
            some[0].k,
            some[0].min_score,
        )
        start = 0
        for number, one in zip(numbers, some, strict=True):
            found[number] = lists[start : start + len(one.values)]
            start += len(one.values)
    return [found[number] for number in range(len(asked))]
