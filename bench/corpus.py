"""A corpus of the size a bench asks for: the samples, or any archive, as one JSON Lines file."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kartoteka.documents import ALIASES, ReadSettings, Refusal, folded, from_record
from kartoteka.sources import plan, read

SAMPLES = Path(__file__).parents[1] / "samples"


def documents(paths: Sequence[str], most: int) -> list[dict[str, Any]]:
    """The documents of the archive in an order shuffled once for all, ids unique, at most `most` of them.

    Shuffled, because an archive is sorted by source: its parts would differ in length, and rates over parts with them.
    `lang` is left out where the record has none, so that whoever wants it must detect it.
    """
    settings = ReadSettings()
    found: dict[str, dict[str, Any]] = {}
    for split in plan(paths, settings):
        for source, record, _ in read(split, settings):
            document = record if isinstance(record, Refusal) else from_record(record, source, settings)
            if isinstance(document, Refusal) or document["id"] in found:
                continue
            fields = ["id", "title", "abstract", "keyphrases", "year"]
            fields += ["lang"] if {*ALIASES["lang"]} & {*map(folded, record)} else []
            found[document["id"]] = {field: document[field] for field in fields}
    rows = list(found.values())
    random.Random(0).shuffle(rows)
    return rows[:most]


def write(paths: Sequence[str], count: int, file: Path, most_characters: int | None = None) -> str:
    """Write `count` documents of the archive to `file`, repeated with changed ids where it holds fewer.

    `most_characters` cuts the abstracts. Returns in words what was written.
    """
    base = documents(paths or [str(SAMPLES)], count)
    with file.open("w", encoding="utf-8") as out:
        for number in range(count):
            again, place = divmod(number, len(base))
            row = base[place] | ({"id": f"{base[place]['id']}#{again}"} if again else {})
            if most_characters:
                row = row | {"abstract": row["abstract"][:most_characters]}
            out.write(json.dumps(row, ensure_ascii=False) + "\n")
    name = ", ".join(Path(path).name for path in paths) or "samples/"
    annotated = sum(bool(row["keyphrases"]) for row in base) / len(base)
    text = f"{count:,} documents of {name}, shuffled, {annotated:.0%} with keyphrases"
    if count > len(base):
        text += f"; its {len(base):,} documents were repeated with changed ids (for speed only, quality means nothing)"
    return text + (f"; abstracts cut to {most_characters} characters" if most_characters else "")
