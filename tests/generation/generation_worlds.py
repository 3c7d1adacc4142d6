"""A small made-up archive and the smallest generator that can learn from it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from kartoteka.documents import DOCUMENT_SCHEMA
from kartoteka.generation.settings import DecodingSettings, GeneratorSettings
from kartoteka.storage import Storage

TOPICS = ("graph theory", "neural networks", "heat transfer", "ядерный реактор", "library catalogues", "soil acidity")
SMALL = GeneratorSettings(
    layers=1,
    width=32,
    heads=2,
    dropout=0.0,
    vocabulary=400,
    max_source=48,
    max_target=24,
    validation_documents=10,
    decoding=DecodingSettings(beam=2, batch=4),
)


def record(number: int) -> dict:
    """A document on two of the topics; the first stands in its text, the second does not."""
    rng = np.random.default_rng(number)
    one, two = rng.choice(len(TOPICS), 2, replace=False)
    return {
        "id": f"d{number}",
        "title": f"On {TOPICS[one]} number {number}",
        "abstract": f"We study {TOPICS[one]} in some depth. " + "It is of use. " * int(rng.integers(0, 12)),
        "lang": "en",
        "year": None,
        "keyphrases": [TOPICS[two], TOPICS[one]] if number % 5 else [],
        "references": [],
        "added": None,
        "source": f"made.jsonl:{number}",
        "extra": "{}",
    }


def make_edition(folder: Path, records: list[dict], part: int = 40) -> str:
    """The records as the `documents` of an edition whose run has not ended."""
    storage = Storage(folder)
    for start in range(0, len(records), part):
        table = pa.Table.from_pylist(records[start : start + part], DOCUMENT_SCHEMA)
        storage.put_table(f"documents/part-{start // part:05d}.parquet", table)
    return str(folder)
