"""The classifier as it is trained: cross-entropy, and in the final step a supervised contrastive loss beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from kartoteka.sentiment.model import SentimentModel
from kartoteka.sentiment.settings import SentimentSettings
from kartoteka.sentiment.texts import CLASSES
from kartoteka.training.contrastive import encode_texts
from kartoteka.training.gather import dealt, gather, world
from kartoteka.training.losses import anchors, supcon


class SentimentModule(torch.nn.Module):
    """The model in `folder` with the loss of `task.SentimentTask.collate`'s batches; `metric`: the final step."""

    def __init__(self, folder: Path, settings: SentimentSettings, metric: bool) -> None:
        super().__init__()
        self.classifier = SentimentModel(folder)
        if settings.freeze_embeddings:
            self.classifier.model.get_input_embeddings().requires_grad_(False)
        self.settings = settings
        self.metric_weight = settings.metric_weight if metric else 0.0

    def forward(self, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Any]]:
        """(loss, figures) of one worker's part; the mean over the workers is that of the global batch."""
        logits, vectors = self.encode(batch["ids"], batch["offsets"])
        labels, rows = batch["labels"], batch["rows"]
        class_loss = functional.cross_entropy(logits, batch["targets"], reduction="sum") * world() / len(labels)
        loss = self.settings.class_weight * class_loss
        figures = {"class_loss": class_loss.detach()}
        if self.metric_weight:
            # The texts of the whole batch: with those of one worker alone the loss would depend on how many there are.
            metric_loss = supcon(
                dealt(gather(vectors)), labels, self.settings.temperature, rows=rows, clusters=batch["clusters"],
                dominant=batch["dominant"], total=max(anchors(labels), 1) / world(),
            )  # fmt: skip
            loss = loss + self.metric_weight * metric_loss
            figures["metric_loss"] = metric_loss.detach()
        return loss, figures

    def encode(self, ids: Tensor, offsets: Tensor) -> tuple[Tensor, Tensor]:
        """Logits [n, 3] and unit vectors [n, d] of packed texts; every worker must call it equally often."""
        found = encode_texts(
            self.classifier, ids, offsets, dimension=len(CLASSES) + self.classifier.dimension,
            micro_tokens=self.settings.micro_tokens, kept_tokens=self.settings.kept_tokens,
        )  # fmt: skip
        return found[:, : len(CLASSES)], found[:, len(CLASSES) :]
