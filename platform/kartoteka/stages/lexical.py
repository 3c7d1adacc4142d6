"""Lexical: the BM25 index of the annotated documents, in shards that score as one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from kartoteka.edition import BUILD
from kartoteka.flow.build import Build
from kartoteka.flow.ledger import Completion, files_of
from kartoteka.lexical.settings import LexicalSettings
from kartoteka.lexical.shard import build_shard
from kartoteka.lexical.statistics import CorpusStatistics, PartStatistics, merge
from kartoteka.stages.analyse import stems_file, terms_file
from kartoteka.storage import Storage

STATISTICS = f"{BUILD}/statistics/terms.arrow"
FOLDER = "lexical"


@dataclass(frozen=True)
class MergeStatistics:
    """Document frequencies and lengths of the whole archive, from those of its parts."""

    parts: Sequence[str]

    def __call__(self, storage: Storage) -> Completion:
        """Merge them, one part at a time."""
        merged = merge(PartStatistics.from_table(storage.table(terms_file(part))) for part in self.parts)
        with storage.folder(f"{BUILD}/statistics") as folder:
            merged.save(folder / "terms.arrow")
        return Completion("", facts={"terms": len(merged.df), "documents": merged.documents})


@dataclass(frozen=True)
class BuildShard:
    """One shard: some consecutive parts, scored with the statistics of all."""

    parts: Sequence[str]
    name: str
    settings: LexicalSettings

    def __call__(self, storage: Storage) -> Completion:
        """Build it and put it into the edition."""
        stems = pa.concat_tables([storage.table(stems_file(part)) for part in self.parts])["stems"]
        statistics = CorpusStatistics.load(storage.local(STATISTICS))
        with storage.folder(self.name, whole=True) as folder:
            build_shard(stems, statistics, folder, self.settings)
        return Completion("", rows_in=len(stems), rows_out=len(stems), files=files_of(storage.stored(self.name)))


def index_lexically(
    build: Build, annotated: dict[str, int], settings: LexicalSettings, shard_documents: int
) -> dict[str, Completion]:
    """Build the index over `annotated` (documents by part, in archive order)."""
    build.run_tasks("statistics", {"all": MergeStatistics(list(annotated))})
    tasks = {
        f"shard-{number:04d}": BuildShard(parts, f"{FOLDER}/shard-{number:04d}", settings)
        for number, parts in enumerate(shards_of(annotated, shard_documents))
    }
    return build.run_tasks("lexical", tasks)


def shards_of(documents: dict[str, int], most: int) -> list[list[str]]:
    """Consecutive parts, as many to a shard as hold `most` documents together (one part at least)."""
    shards: list[list[str]] = []
    held = 0
    for part, count in documents.items():
        if not shards or held + count > most:
            shards.append([])
            held = 0
        shards[-1].append(part)
        held += count
    return shards
