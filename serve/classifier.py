"""The classifier: the sentiment of texts. It belongs to no edition."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
from ray import serve

from kartoteka.sentiment.texts import CLASSES
from kartoteka.telemetry import span
from serve.settings import AppSettings

#: Texts classified together.
MOST = 256


def count_texts(asked: list[list[str]]) -> int:
    """Texts of a batch."""
    return sum(map(len, asked))


@serve.deployment
class Classifier:
    """Replicas hold the model; there may be none of them while nobody asks."""

    def __init__(self, settings: dict[str, Any]) -> None:
        from kartoteka.sentiment.classify import open_classifier

        self.model = open_classifier(AppSettings.parse(settings).classifier)

    async def classify(self, trace: dict[str, str], texts: list[str]) -> dict[str, Any]:
        """`model`, and a `label` with `probabilities` for each text."""
        with span("classify", {"texts": len(texts)}, carriers=[trace]):
            parts = [texts[first : first + MOST] for first in range(0, len(texts), MOST)]
            found = np.concatenate(await asyncio.gather(*map(self._batch, parts)))
            return {"model": self.model.identity["name"], "results": [label_of(row) for row in found]}

    @serve.batch(max_batch_size=MOST, batch_wait_timeout_s=0.002, batch_size_fn=count_texts)
    async def _batch(self, asked: list[list[str]]) -> list[np.ndarray]:
        found, _ = await asyncio.to_thread(self.model.classify, [text for texts in asked for text in texts])
        return np.split(found, np.cumsum([len(texts) for texts in asked])[:-1])


def label_of(probabilities: np.ndarray) -> dict[str, Any]:
    """The most probable class, and the probabilities float32 [3] by name."""
    named = {name: float(value) for name, value in zip(CLASSES, probabilities, strict=True)}
    return {"label": CLASSES[int(probabilities.argmax())], "probabilities": named}
