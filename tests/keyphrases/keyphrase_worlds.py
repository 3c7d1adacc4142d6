"""Small real archives for the tests: records to an archive, its lexical index and a suggester."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import orjson
import pyarrow as pa

from kartoteka.keyphrases import archive as archives
from kartoteka.keyphrases.annotated import annotate, is_annotated
from kartoteka.keyphrases.context import Wording
from kartoteka.keyphrases.settings import KeyphraseSettings
from kartoteka.keyphrases.suggest import Suggester
from kartoteka.lexical.index import ShardedIndex
from kartoteka.lexical.shard import build_shard
from kartoteka.lexical.statistics import count_part, merge
from kartoteka.text.words import content_stems

SAMPLES = Path(__file__).parents[2] / "samples"
COLUMNS = ("id", "title", "abstract", "lang", "keyphrases")


def record(number: int, title: str, abstract: str, keyphrases: list[str], lang: str = "en") -> dict:
    return {"id": f"d{number}", "title": title, "abstract": abstract, "lang": lang, "keyphrases": keyphrases}


def journal(lang: str) -> list[dict]:
    """The annotated records of the sample journal in one language."""
    records = map(orjson.loads, (SAMPLES / "npe.jsonl").read_bytes().splitlines())
    return [
        {"id": r["id"], "title": r["title"], "abstract": r["abstract"], "lang": lang, "keyphrases": r["keyphrases"]}
        for r in records
        if r["id"].endswith(f":{lang}") and is_annotated(r.get("keyphrases") or [])
    ]


def table(records: list[dict]) -> pa.Table:
    types = [pa.string()] * 4 + [pa.list_(pa.string())]
    return pa.table(
        {name: pa.array([r[name] for r in records], kind) for name, kind in zip(COLUMNS, types, strict=True)}
    )


def build_archive(records: list[dict], folder: Path, cuts: tuple[int, ...] = ()) -> archives.Archive:
    """The archive of `records`, read as parts cut at `cuts`."""
    bounds = [0, *cuts, len(records)]
    parts = [annotate(table(records[a:b])) for a, b in pairwise(bounds)]
    archives.merge(lambda: iter(parts), folder)
    return archives.Archive.open(folder)


def build_suggester(records: list[dict], folder: Path, settings: KeyphraseSettings | None = None) -> Suggester:
    build_archive(records, folder)
    stems = [
        content_stems(f"{r['title']}\n{r['abstract']}", r["lang"]) for r in records if is_annotated(r["keyphrases"])
    ]
    build_shard(stems, merge([count_part(stems)]), folder / "lexical" / "shard-00000")
    return Suggester.open(folder, ShardedIndex.open(folder / "lexical"), settings or KeyphraseSettings())


def wordless(candidates: int) -> Wording:
    """Candidates of which each has one word of its own."""
    return Wording(np.arange(candidates + 1), np.arange(candidates))


def nobody(n: int) -> np.ndarray:
    return np.full(n, -1, np.int64)
