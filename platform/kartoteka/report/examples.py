"""What the report shows of the tables: a few documents per language, a few refused rows per reason, category shares.

An edition may hold tens of millions of rows and a quarantined row may be 50 MB, so columns are read in batches, samples
are bounded, and what is taken depends on the edition's values alone.
"""

from __future__ import annotations

import hashlib
import heapq
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from kartoteka.card import Card, cards
from kartoteka.edition import Edition

SAMPLE_ROWS = 100_000
LANGUAGES = 6
PER_LANGUAGE = 3
PER_REASON = 3
REASONS = 20
RECORD_BYTES = 300


@dataclass(frozen=True, slots=True)
class Refused:
    """A quarantined row: why, where it came from, and how its record begins."""

    reason: str
    detail: str
    stage: str
    source: str
    record: str


def documents(edition: Edition) -> dict[str, list[Card]]:
    """Up to `PER_LANGUAGE` cards with keyphrases for each of the most frequent languages, most frequent first.

    The documents whose ids have the smallest hashes: a choice at random that every run repeats.
    """
    if not edition.files("documents") or not edition.files("keyphrases"):
        return {}
    smallest: dict[str, list[tuple[int, str]]] = {}
    frequency: Counter[str] = Counter()
    for batch in _sample(edition.table("documents"), ["id", "lang"]):
        for identity, lang in zip(batch["id"].to_pylist(), batch["lang"].to_pylist(), strict=True):
            frequency[lang] += 1
            rank = -int.from_bytes(hashlib.blake2b(identity.encode("utf-8", "surrogatepass"), digest_size=8).digest())
            heap = smallest.setdefault(lang, [])
            (heapq.heappush if len(heap) < 4 * PER_LANGUAGE else heapq.heappushpop)(heap, (rank, identity))
    languages = sorted(frequency, key=lambda lang: (-frequency[lang], lang))[:LANGUAGES]
    ids = [identity for lang in languages for _, identity in sorted(smallest[lang], reverse=True)]
    chosen: dict[str, list[Card]] = {lang: [] for lang in languages}
    for card in cards(edition, ids).values():
        if card.keyphrases and len(chosen[card.lang]) < PER_LANGUAGE:
            chosen[card.lang].append(card)
    return {lang: shown for lang, shown in chosen.items() if shown}


def refused(edition: Edition) -> dict[str, list[Refused]]:
    """The first `PER_REASON` quarantined rows of each reason, at most `REASONS` reasons, in reason order."""
    if not edition.files("quarantine"):
        return {}
    found: dict[str, list[Refused]] = {}
    columns = {name: ds.field(name) for name in ("reason", "detail", "stage", "source")}
    columns["record"] = pc.binary_slice(ds.field("record"), 0, RECORD_BYTES)
    expected = set((edition.manifest.get("counts") or {}).get("reasons") or {})
    # One batch at a time: the records behind the slices may be large.
    for batch in edition.table("quarantine").to_batches(
        columns=columns, batch_size=256, batch_readahead=1, fragment_readahead=1
    ):
        for row in batch.to_pylist():
            rows = found.setdefault(row["reason"], [])
            if len(rows) < PER_REASON:
                rows.append(Refused(**{**row, "record": row["record"].decode("utf-8", "replace")}))
        if expected and all(len(found.get(reason, ())) >= PER_REASON for reason in expected):
            break
    return {reason: found[reason] for reason in sorted(found)[:REASONS]}


@dataclass(frozen=True, slots=True)
class Shares:
    """Counts over `documents` documents, `sampled` from more or all there are, that hold `phrases` keyphrases."""

    documents: int
    sampled: bool
    phrases: int
    categories: dict[str, int]
    origins: dict[str, int]


def shares(edition: Edition) -> Shares | None:
    """How many keyphrases are of each category and come from each set of origins; None without a keyphrase table."""
    if not edition.files("keyphrases"):
        return None
    counted, phrases = 0, 0
    categories: Counter[str] = Counter()
    origins: Counter[str] = Counter()
    for batch in _sample(edition.table("keyphrases"), ["keyphrases"]):
        counted += batch.num_rows
        flat = batch["keyphrases"].flatten()
        phrases += len(flat)
        categories.update({v["values"]: v["counts"] for v in pc.value_counts(flat.field("category")).to_pylist()})
        joined = pc.binary_join(flat.field("origins"), " + ")
        origins.update({v["values"]: v["counts"] for v in pc.value_counts(joined).to_pylist()})
    sampled = counted < edition.table("keyphrases").count_rows()
    return Shares(counted, sampled, phrases, dict(categories), dict(origins))


def _sample(table: ds.Dataset, columns: list[str]) -> Iterator[pa.RecordBatch]:
    """About `SAMPLE_ROWS` rows: the first ones of files spread evenly over the edition, or all there are."""
    fragments = list(table.get_fragments())
    rows = [fragment.count_rows() for fragment in fragments]
    step = max(1, sum(rows) // SAMPLE_ROWS)
    for fragment in fragments[::step]:
        yield from fragment.head(SAMPLE_ROWS, columns=columns).to_batches()
