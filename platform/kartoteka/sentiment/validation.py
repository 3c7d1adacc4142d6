"""How well a classifier does on the texts it does not learn from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional

from kartoteka.evaluation.confusion import accuracy, confusion, f1_by_class
from kartoteka.ragged import pick
from kartoteka.sentiment.texts import CLASSES
from kartoteka.training.gather import gather

if TYPE_CHECKING:
    from kartoteka.sentiment.data import Examples
    from kartoteka.sentiment.module import SentimentModule
    from kartoteka.training.task import Part, Share


@torch.no_grad()
def validate(examples: Examples, module: SentimentModule, share: Share) -> dict[str, Part]:
    """Macro-F1, accuracy, F1 of each class, nats a text, and the confusion matrix as shares of each gold class.

    F1 is no mean over texts: the workers' confusion matrices are added up first, and all of them know the figures.
    """
    rows = share.of(np.flatnonzero(examples.validation))
    logits, labels = logits_of(examples, module, rows), torch.from_numpy(examples.label[rows].astype(np.int64))
    own = confusion(labels.numpy(), logits.argmax(1).numpy(), len(CLASSES))
    size = len(CLASSES)
    gathered = gather(torch.from_numpy(own).float().to(next(module.parameters()).device))
    matrix = gathered.reshape(-1, size, size).sum(0).cpu().numpy()
    scores = f1_by_class(matrix)
    figures = {"macro_f1": float(scores.mean()), "accuracy": float(accuracy(matrix))}
    figures |= {f"f1_{name}": float(score) for name, score in zip(CLASSES, scores, strict=True)}
    lost = functional.cross_entropy(logits, labels, reduction="sum")
    parts: dict[str, Part] = {name: (value, 1.0) for name, value in figures.items()}
    parts["nll"] = (float(lost), float(len(rows)))
    for gold, name in enumerate(CLASSES):
        for given, other in enumerate(CLASSES):
            parts[f"{name}_as_{other}"] = (float(own[gold, given]), float(own[gold].sum()))
    return parts


def logits_of(examples: Examples, module: SentimentModule, rows: np.ndarray) -> torch.Tensor:
    """Logits float32 [rows, 3] on the CPU; every worker must call it equally often."""
    ids, offsets = pick(examples.tokens, examples.offsets, rows)
    device = next(module.parameters()).device
    return module.encode(torch.from_numpy(ids).to(device), torch.from_numpy(offsets).to(device))[0].cpu()
