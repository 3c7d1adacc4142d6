"""The ranker as it is trained: one transformer for documents and phrases, its unit vectors, its scores of spans."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from kartoteka.encoding.models import resolve_model
from kartoteka.encoding.pooling import normalise, pool
from kartoteka.encoding.spans import read_head
from kartoteka.encoding.transformer import load_transformer
from kartoteka.ranking.directory import SPANS
from kartoteka.ranking.settings import RankerSettings
from kartoteka.ranking.spans import Judge, SpanScorer, Words, span_losses
from kartoteka.training.contrastive import encode_texts
from kartoteka.training.gather import dealt, gather, world
from kartoteka.training.losses import distillation, masked_mnr


class RankerModule(torch.nn.Module):
    """The model in `folder`, a sentence-transformers directory, with the loss of `batches.collate`'s batches.

    The scores of spans begin as the head in the folder has them, if there is one.
    """

    def __init__(self, folder: Path, settings: RankerSettings) -> None:
        super().__init__()
        files = resolve_model(str(folder))
        self.transformer = load_transformer(files).requires_grad_(True)
        self.transformer.pooler = None  # not used, and a parameter without a gradient stops DeepSpeed
        self.poolings = files.poolings
        self.settings = settings
        self.dimension = self.transformer.config.hidden_size * len(files.poolings)
        self.scorer = SpanScorer(self.transformer.config.hidden_size) if settings.span_weight else None
        if self.scorer is not None and (folder / SPANS).exists():
            self.scorer.begin(read_head(folder / SPANS, self.transformer.config.hidden_size))

    def forward(self, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Any]]:
        """(loss, figures) of one worker's part; the mean over the workers is that of the global batch."""
        settings, count = self.settings, int(batch["documents"])
        n, m, _ = (int(number) for number in batch["total"])
        words = Words(*(batch[f"word_{name}"] for name in Words._fields)) if self.scorer is not None else None
        found = self.encode(batch["ids"], batch["offsets"], words, span_losses)
        vectors = found[:, : self.dimension]
        figures = {"distillation": found.new_zeros(())}
        if len(batch["teacher"]):
            figures["distillation"] = distillation(vectors, batch["teacher"], total=(n + m) / world())
        loss = batch["distil"][0] * figures["distillation"]
        if settings.ranking_weight:
            figures |= {"ranking": self._ranking(vectors, batch), "candidates": torch.tensor(float(m))}
            loss = loss + settings.ranking_weight * figures["ranking"]
        if self.scorer is not None:
            figures["spans"] = found[:count, self.dimension].sum() * world() / n
            loss = loss + settings.span_weight * figures["spans"]
        return loss, {name: value.detach() for name, value in figures.items()}

    def _ranking(self, vectors: Tensor, batch: dict[str, Tensor]) -> Tensor:
        """The loss of the vectors: each document's own phrases among all candidates of the global batch."""
        count = int(batch["documents"])
        _, m, pairs = (int(number) for number in batch["total"])
        candidates = dealt(gather(vectors[count:]))
        positives = _matrix(batch["positives"], batch["positive_offsets"], m)
        return masked_mnr(
            vectors[:count], candidates, positives, self.settings.temperature,
            masked=self.settings.masked, total=max(pairs, 1) / world(),
        )  # fmt: skip

    def encode(self, ids: Tensor, offsets: Tensor, words: Words | None = None, judge: Judge = span_losses) -> Tensor:
        """Unit vectors float32 [n, d] of packed texts (see `encode_texts`); every worker must call it equally often.

        With `words` they have one column more: what `judge` says of the scores of each text's spans.
        """
        settings = self.settings
        return encode_texts(
            partial(self._encode, words, judge), ids, offsets, dimension=self.dimension + (words is not None),
            micro_tokens=settings.micro_tokens, kept_tokens=settings.kept_tokens,
        )  # fmt: skip

    def _encode(self, words: Words | None, judge: Judge, grid: Tensor, lengths: Tensor, texts: Tensor) -> Tensor:
        width = grid.shape[1]
        real = torch.arange(width, device=grid.device)[None, :] < lengths[:, None]
        # Without padding there is nothing to mask, and attention is faster without a mask.
        mask = None if bool(real.all()) else real.long()
        states = self.transformer(input_ids=grid, attention_mask=mask).last_hidden_state[real]
        vectors = normalise(pool(states, lengths.tolist(), self.poolings))
        if words is None:
            return vectors
        own = words.of(texts)
        return torch.cat([vectors, judge(self.scorer(states, lengths, own), own)[:, None]], dim=1)


def _matrix(positives: Tensor, offsets: Tensor, candidates: int) -> Tensor:
    """Which candidates are right for which document, bool [documents, candidates]."""
    of = torch.repeat_interleave(torch.arange(len(offsets) - 1, device=offsets.device), offsets[1:] - offsets[:-1])
    matrix = torch.zeros(len(offsets) - 1, candidates, dtype=torch.bool, device=offsets.device)
    matrix[of, positives] = True
    return matrix
