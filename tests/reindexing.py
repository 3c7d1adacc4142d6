"""A made archive, and an edition as plain values to compare."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq

TOPICS = [
    ("neural networks", "training deep models", "gradient descent"),
    ("reactor safety", "heat transfer", "fuel assembly"),
    ("information retrieval", "query expansion", "search engine"),
    ("тепловыделяющая сборка", "активная зона", "ядерный реактор"),
    ("bibliothèque numérique", "catalogue", "indexation automatique"),
]
LANGS = ["en", "en", "en", "ru", "fr"]


def records(count: int) -> list[dict[str, object]]:
    """Documents about a few topics in three languages; most carry keyphrases."""
    rows = []
    for number in range(count):
        topic = TOPICS[number % len(TOPICS)]
        a, b, c = topic[number % 3], topic[(number + 1) % 3], topic[(number + 2) % 3]
        rows.append(
            {
                "id": f"doc-{number:04d}",
                "title": f"{a.capitalize()} {number % 17}",
                "abstract": f"{b} {number}. {c}, {a} {b}. " * (1 + number % 4),
                "lang": LANGS[number % len(TOPICS)],
                "keyphrases": [a, b] if number % 6 else [],
                "year": 1990 + number % 30,
            }
        )
    return rows


def tables_of(edition: Path) -> dict[str, object]:
    """Every table of an edition by file, value for value; of other files, their bytes."""
    found: dict[str, object] = {}
    for file in sorted(edition.rglob("*")):
        name = file.relative_to(edition).as_posix()
        if file.is_file() and name not in ("manifest.json", "report.html"):
            table = file.suffix == ".parquet"
            found[name] = pq.read_table(file, partitioning=None).to_pylist() if table else file.read_bytes()
    return found
