"""Any sequence classifier of transformers: its logits, and the vector of a text that enters its last layer.

That vector is what the head tells classes apart by; the metric loss shapes it and the clusters are made of it.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from kartoteka.encoding.pooling import normalise
from kartoteka.sentiment.texts import CLASSES


class SentimentModel(torch.nn.Module):
    """The classifier in `folder`, in fp32. Raises `ValueError`: it cannot be loaded, or has not the three classes."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.model = _load(folder)
        named = {number: name.lower() for number, name in self.model.config.id2label.items()}
        if sorted(named.values()) != sorted(CLASSES):
            raise ValueError(f"model: {folder} tells {', '.join(named.values())} apart, not {', '.join(CLASSES)}")
        #: Where each of `CLASSES` stands among the model's own.
        self.places = [next(n for n, name in named.items() if name == wanted) for wanted in CLASSES]
        self.last = last_layer(self.model)
        self.dimension = self.last.in_features

    def forward(self, grid: Tensor, lengths: Tensor, texts: Tensor) -> Tensor:
        """Token ids int64 [b, width], real up to `lengths` int64 [b] -> float32 [b, 3 + d].

        Logits in the order of `CLASSES`, then the unit vector. Which `texts` these are is all one here.
        """
        real = torch.arange(grid.shape[1], device=grid.device)[None, :] < lengths[:, None]
        entered: list[Tensor] = []
        hook = self.last.register_forward_pre_hook(lambda _, inputs: entered.append(inputs[0]))
        try:
            logits = self.model(input_ids=grid, attention_mask=real.long()).logits[:, self.places]
        finally:
            hook.remove()
        return torch.cat([logits.float(), normalise(entered[0].float())], dim=1)

    @torch.no_grad()
    def cool(self, temperature: float) -> None:
        """Divide all logits by `temperature`, in the weights: whoever loads the model gets calibrated probabilities."""
        self.last.weight /= temperature
        if self.last.bias is not None:
            self.last.bias /= temperature


def last_layer(model: torch.nn.Module) -> torch.nn.Linear:
    """The layer that gives the logits: the last linear one with as many outputs as there are classes."""
    found = [m for m in model.modules() if isinstance(m, torch.nn.Linear) and m.out_features == len(CLASSES)]
    if not found:
        raise ValueError(f"model: {type(model).__name__} has no linear layer of {len(CLASSES)} classes")
    return found[-1]


def _load(folder: Path) -> torch.nn.Module:
    from transformers import AutoModelForSequenceClassification
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    try:
        model, report = AutoModelForSequenceClassification.from_pretrained(
            folder, dtype=torch.float32, use_safetensors=True, local_files_only=True, trust_remote_code=False,
            output_loading_info=True,
        )  # fmt: skip
    except Exception as error:
        # transformers raises anything from KeyError to RuntimeError on a wrong config; the user needs one line.
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise ValueError(f"model: {folder} is no classifier: {reason}") from None
    if missing := sorted(report["missing_keys"]):
        raise ValueError(f"model: {folder} lacks {missing[0]} (and {len(missing) - 1} more): it is no classifier")
    return model
