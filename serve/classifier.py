"""The classifier: the sentiment of texts. It belongs to no edition."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
from ray import serve

from kartoteka.sentiment.texts import CLASSES
from kartoteka.telemetry import span
from serve.settings import AppSettings

#: Characters classified together, at least those of the longest text; a token has about four.
MOST = 16_384


def count_characters(asked: list[list[str]]) -> int:
    """Characters of a batch: the tokens of a classifier are known to itself alone."""
    return sum(len(text) for texts in asked for text in texts)


@serve.deployment
class Classifier:
    """Replicas hold the model; there may be none of them while nobody asks."""

    def __init__(self, settings: dict[str, Any]) -> None:
        from kartoteka.sentiment.classify import open_classifier

        own = AppSettings.parse(settings)
        self.model = open_classifier(own.classifier)
        self.model.classify(["warm up"])
        self.most = max(MOST, own.max_text_characters)
        self._batch.set_max_batch_size(self.most)

    async def classify(self, trace: dict[str, str], texts: list[str]) -> dict[str, Any]:
        """`model`, and a `label` with `probabilities` for each text."""
        with span("classify", {"texts": len(texts)}, carriers=[trace]):
            found = np.concatenate(await asyncio.gather(*map(self._batch, cut(texts, self.most))))
            return {"model": self.model.identity["name"], "results": [label_of(row) for row in found]}

    @serve.batch(max_batch_size=MOST, batch_wait_timeout_s=0.002, batch_size_fn=count_characters)
    async def _batch(self, asked: list[list[str]]) -> list[np.ndarray]:
        found, _ = await asyncio.to_thread(self.model.classify, [text for texts in asked for text in texts])
        return np.split(found, np.cumsum([len(texts) for texts in asked])[:-1])


def cut(texts: list[str], most: int) -> list[list[str]]:
    """`texts` in consecutive parts of at most `most` characters; none is longer."""
    parts: list[list[str]] = []
    size = most
    for text in texts:
        if size + len(text) > most:
            parts.append([])
            size = 0
        parts[-1].append(text)
        size += len(text)
    return parts


def label_of(probabilities: np.ndarray) -> dict[str, Any]:
    """The most probable class, and the probabilities float32 [3] by name."""
    named = {name: float(value) for name, value in zip(CLASSES, probabilities, strict=True)}
    return {"label": CLASSES[int(probabilities.argmax())], "probabilities": named}
