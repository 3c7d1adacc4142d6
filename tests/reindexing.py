"""A made archive, the command that re-indexes it, and an edition as plain values to compare."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq

ROOT = Path(__file__).parents[1]
#: Small parts, a quick ranker, clusters in several groups.
CONFIG = """
[flow]
part_rows = 40

[keyphrases]
training_documents = 200
rounds = 20

[clusters]
rounds = 4
group_documents = 90
"""

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


def write_corpus(folder: Path) -> Path:
    """200 documents in two files, one of them with a repeated id and a line that is no JSON."""
    folder.mkdir()
    rows = [json.dumps(row, ensure_ascii=False) for row in records(200)]
    (folder / "a.jsonl").write_text("\n".join(rows[:120]) + "\n", encoding="utf-8")
    (folder / "b.jsonl").write_text("\n".join([*rows[120:], rows[3], '{"id": 1']) + "\n", encoding="utf-8")
    return folder


def start_reindex(
    address: str, arguments: list[str], environment: dict[str, str], folder: Path = ROOT
) -> subprocess.Popen[str]:
    """Start `kartoteka reindex ARGUMENTS` in `folder`, on the cluster at `address`, without its GPU."""
    command = [sys.executable, "-m", "jobs", "reindex", *arguments]
    if "--encoder-gpus" not in command:
        command += ["--encoder-gpus", "0"]  # that of the session is a name only
    path = os.pathsep.join([str(ROOT / "platform"), str(ROOT), os.environ.get("PYTHONPATH", "")])
    return subprocess.Popen(
        command, cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env=os.environ | {"RAY_ADDRESS": address, "PYTHONPATH": path, "COLUMNS": "200"} | environment,
    )  # fmt: skip


def tables_of(edition: Path) -> dict[str, object]:
    """Every table of an edition by file, value for value; of other files, their bytes."""
    found: dict[str, object] = {}
    for file in sorted(edition.rglob("*")):
        name = file.relative_to(edition).as_posix()
        if file.is_file() and name not in ("manifest.json", "report.html"):
            table = file.suffix == ".parquet"
            found[name] = pq.read_table(file, partitioning=None).to_pylist() if table else file.read_bytes()
    return found
