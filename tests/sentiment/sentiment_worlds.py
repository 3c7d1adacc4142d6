"""Made-up opinions that the smallest classifier can learn, and the files and settings they are learned with."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch

from kartoteka.sentiment.module import SentimentModule
from kartoteka.sentiment.settings import SentimentSettings, SmallSettings
from kartoteka.sentiment.task import SentimentTask
from kartoteka.sentiment.texts import CLASSES
from kartoteka.storage import Storage
from kartoteka.training.task import Share

WORDS = {
    "negative": ("ужасно", "плохо", "мерзкий", "грустно", "поломка", "обман"),
    "neutral": ("вторник", "таблица", "расписание", "каталог", "адрес", "номер"),
    "positive": ("прекрасно", "радость", "люблю", "отлично", "спасибо", "ура"),
}
FILLER = ("банк", "город", "погода", "книга", "вокзал", "музей", "связь", "сайт", "проезд", "счет")
SMALL = SentimentSettings(
    max_tokens=24,
    validation_share=0.2,
    micro_tokens=128,
    kept_tokens=256,
    small=SmallSettings(vocabulary=420, width=32, layers=1, heads=2, dropout=0.0),
)


def opinion(number: int, label: str | None = None) -> dict:
    """A text with two words of its class among words of none."""
    rng = np.random.default_rng(number)
    kind = CLASSES[number % 3]
    words = [*rng.choice(FILLER, 5), *rng.choice(WORDS[kind], 2)]
    text = " ".join(rng.permutation(words)) + f" {number}"
    return {"id": f"t{number}", "text": text, "label": label or kind, "source": ("bank", "news")[number % 2]}


def write(file: Path, rows: Iterable[dict]) -> str:
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return str(file)


def tensors(batch: dict[str, np.ndarray]) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in batch.items()}


def learn_alone(task: SentimentTask, run: Storage, steps: int) -> SentimentModule:
    """The module of a prepared run after some steps of 16 texts in this process."""
    module = task.build(run)
    optimizer = torch.optim.AdamW(module.parameters(), lr=3e-3)
    for step in range(steps):
        numbers = np.random.default_rng(step).permutation(task.examples(run))[:16]
        loss, _ = module(tensors(task.collate(run, numbers, Share(0, 1, 0, step))))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return module.eval()
