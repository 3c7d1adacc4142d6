"""Made-up opinions that the smallest classifier can learn, and the files and settings they are learned with."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from kartoteka.sentiment.settings import SentimentSettings, SmallSettings
from kartoteka.sentiment.texts import CLASSES

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
