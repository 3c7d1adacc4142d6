"""The ranker as it is trained: one transformer for documents and phrases, its pooling, unit vectors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from kartoteka.encoding.models import resolve_model
from kartoteka.encoding.pooling import normalise, pool
from kartoteka.encoding.transformer import load_transformer
from kartoteka.ranking.settings import RankerSettings
from kartoteka.training.contrastive import encode_texts
from kartoteka.training.gather import dealt, gather, world
from kartoteka.training.losses import distillation, masked_mnr


class RankerModule(torch.nn.Module):
    """The model in `folder`, a sentence-transformers directory, with the loss of `batches.collate`'s batches."""

    def __init__(self, folder: Path, settings: RankerSettings) -> None:
        super().__init__()
        files = resolve_model(str(folder))
        self.transformer = load_transformer(files).requires_grad_(True)
        self.transformer.pooler = None  # not used, and a parameter without a gradient stops DeepSpeed
        self.poolings = files.poolings
        self.settings = settings
        self.dimension = self.transformer.config.hidden_size * len(files.poolings)

    def forward(self, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Any]]:
        """(loss, figures) of one worker's part; the mean over the workers is that of the global batch."""
        vectors = self.encode(batch["ids"], batch["offsets"])
        count = int(batch["documents"])
        n, m, pairs = (int(number) for number in batch["total"])
        candidates = dealt(gather(vectors[count:]))
        positives = _matrix(batch["positives"], batch["positive_offsets"], m)
        ranking = masked_mnr(
            vectors[:count], candidates, positives, self.settings.temperature,
            masked=self.settings.masked, total=max(pairs, 1) / world(),
        )  # fmt: skip
        distance = ranking.new_zeros(())
        if len(batch["teacher"]):
            distance = distillation(vectors, batch["teacher"], total=(n + m) / world())
        figures = {"ranking": ranking.detach(), "distillation": distance.detach(), "candidates": float(m)}
        return ranking + batch["distil"][0] * distance, figures

    def encode(self, ids: Tensor, offsets: Tensor) -> Tensor:
        """Unit vectors float32 [n, d] of packed texts (see `encode_texts`); every worker must call it equally often."""
        settings = self.settings
        return encode_texts(
            self._encode, ids, offsets, dimension=self.dimension, micro_tokens=settings.micro_tokens,
            kept_tokens=settings.kept_tokens,
        )  # fmt: skip

    def _encode(self, grid: Tensor, lengths: Tensor) -> Tensor:
        width = grid.shape[1]
        real = torch.arange(width, device=grid.device)[None, :] < lengths[:, None]
        # Without padding there is nothing to mask, and attention is faster without a mask.
        mask = None if bool(real.all()) else real.long()
        states = self.transformer(input_ids=grid, attention_mask=mask).last_hidden_state
        return normalise(pool(states[real], lengths.tolist(), self.poolings))


def _matrix(positives: Tensor, offsets: Tensor, candidates: int) -> Tensor:
    """Which candidates are right for which document, bool [documents, candidates]."""
    of = torch.repeat_interleave(torch.arange(len(offsets) - 1, device=offsets.device), offsets[1:] - offsets[:-1])
    matrix = torch.zeros(len(offsets) - 1, candidates, dtype=torch.bool, device=offsets.device)
    matrix[of, positives] = True
    return matrix
