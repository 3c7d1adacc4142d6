"""Any masked-language model of transformers as it is trained: its loss at the tokens that are asked for, and no others.

The logits over a vocabulary of thousands cost more than a small encoder does, so the states of the other tokens never
reach the head.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from kartoteka.pretraining.masking import IGNORED
from kartoteka.pretraining.settings import MlmSettings
from kartoteka.training.contrastive import encode_texts
from kartoteka.training.gather import world


class MlmModule(torch.nn.Module):
    """The model in `folder`, in fp32, with the loss of `task.MlmTask.collate`'s batches."""

    def __init__(self, folder: Path, settings: MlmSettings) -> None:
        from transformers import AutoModelForMaskedLM

        super().__init__()
        self.model = AutoModelForMaskedLM.from_pretrained(folder, dtype=torch.float32, use_safetensors=True)
        self.settings = settings

    def forward(self, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Any]]:
        """(loss, figures) of one worker's part; the mean over the workers is that of the global batch.

        The loss is the mean over the tokens asked for, in nats.
        """
        lost, right = self.measure(batch["ids"], batch["offsets"], batch["targets"]).sum(0)
        each = world() / batch["asked"][0].clamp(min=1)
        return lost * each, {"accuracy": right.detach() * each}

    def measure(self, ids: Tensor, offsets: Tensor, targets: Tensor) -> Tensor:
        """Of each of n packed texts, the nats lost over its tokens that are asked for, and how many are told: [n, 2].

        `targets` int64 as `ids`, `IGNORED` where nothing is asked. Every worker must call it equally often.
        """
        # The text that is made up for a worker without one lies behind the others
        padded = functional.pad(targets, (0, 1), value=IGNORED)
        return encode_texts(
            partial(self._measure, offsets, padded), ids, offsets, dimension=2,
            micro_tokens=self.settings.micro_tokens, kept_tokens=self.settings.kept_tokens,
        )  # fmt: skip

    def _measure(self, offsets: Tensor, targets: Tensor, grid: Tensor, lengths: Tensor, texts: Tensor) -> Tensor:
        columns = torch.arange(grid.shape[1], device=grid.device)[None, :]
        real = columns < lengths[:, None]
        own = targets[torch.where(real, offsets[texts][:, None] + columns, len(targets) - 1)]
        asked = own != IGNORED
        logits, labels = self._logits(grid, real, asked), own[asked]
        lost = functional.cross_entropy(logits, labels, reduction="none")
        pairs = torch.stack([lost, (logits.argmax(1) == labels).float()], dim=1)
        of = torch.arange(len(texts), device=grid.device)[:, None].expand_as(grid)[asked]
        return pairs.new_zeros(len(texts), 2).index_add(0, of, pairs)

    def _logits(self, grid: Tensor, real: Tensor, asked: Tensor) -> Tensor:
        """Logits float32 [k, vocabulary] of the k tokens asked for: the head is given their states alone."""

        def narrow(_: torch.nn.Module, __: tuple[Any, ...], outputs: Any) -> Any:
            outputs.last_hidden_state = outputs.last_hidden_state[asked][None]
            return outputs

        hook = self.model.base_model.register_forward_hook(narrow)
        try:
            return self.model(input_ids=grid, attention_mask=real.long()).logits[0].float()
        finally:
            hook.remove()
