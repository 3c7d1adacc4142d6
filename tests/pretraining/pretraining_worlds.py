"""The smallest settings, and a run of the masked-language task that is prepared."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from sentiment.sentiment_worlds import opinion, tensors, write

from kartoteka.pretraining.settings import MlmSettings
from kartoteka.pretraining.task import MlmTask
from kartoteka.sentiment.settings import SmallSettings
from kartoteka.storage import Storage
from kartoteka.training.task import Share

TINY = MlmSettings(
    max_tokens=24,
    validation_share=0.1,
    micro_tokens=128,
    kept_tokens=256,
    small=SmallSettings(vocabulary=420, width=32, layers=1, heads=2, dropout=0.0),
)


def prepared(folder: Path, texts: int = 120, encoder: str | None = None) -> tuple[MlmTask, Storage]:
    """A task over so many opinions, and its run."""
    task = MlmTask((write(folder / "texts.jsonl", [opinion(n) for n in range(texts)]),), encoder, TINY)
    run = Storage(folder / "run")
    task.prepare(run)
    return task, run


def batch_of(task: MlmTask, run: Storage, numbers: object, rank: int = 0, world: int = 1) -> dict[str, torch.Tensor]:
    return tensors(task.collate(run, np.array(numbers, np.int64), Share(rank, world, 0)))
