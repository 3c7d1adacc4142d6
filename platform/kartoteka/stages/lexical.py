"""Lexical: BM25 indexes in shards that score as one; that of the annotated documents, and the parts of any other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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

FOLDER = "lexical"


@dataclass(frozen=True)
class Indexed:
    """What an index in `folder` of the edition is made of: the files of the build that hold a part's stems and terms.

    A row of `stems(part)` is a document of the index; `terms(part)` counts them (`lexical.statistics`).
    """

    folder: str
    stems: Callable[[str], str]
    terms: Callable[[str], str]

    @property
    def prefix(self) -> str:
        """What tells the names of its stages and files from those of the annotated documents' index."""
        return "" if self.folder == FOLDER else f"{self.folder}-"

    @property
    def statistics(self) -> str:
        """Folder of the statistics of all parts."""
        return f"{BUILD}/{self.prefix}statistics"


ANNOTATED = Indexed(FOLDER, stems_file, terms_file)


@dataclass(frozen=True)
class MergeStatistics:
    """Document frequencies and lengths of the whole archive, from those of its parts."""

    parts: Sequence[str]
    indexed: Indexed

    def __call__(self, storage: Storage) -> Completion:
        """Merge them, one part at a time."""
        merged = merge(PartStatistics.from_table(storage.table(self.indexed.terms(part))) for part in self.parts)
        with storage.folder(self.indexed.statistics) as folder:
            merged.save(folder / "terms.arrow")
        return Completion("", facts={"terms": len(merged.df), "documents": merged.documents})


@dataclass(frozen=True)
class BuildShard:
    """One shard: some consecutive parts, scored with the statistics of all."""

    parts: Sequence[str]
    name: str
    settings: LexicalSettings
    indexed: Indexed

    def __call__(self, storage: Storage) -> Completion:
        """Build it and put it into the edition."""
        stems = pa.concat_tables([storage.table(self.indexed.stems(part)) for part in self.parts])["stems"]
        statistics = CorpusStatistics.load(storage.local(f"{self.indexed.statistics}/terms.arrow"))
        with storage.folder(self.name, whole=True) as folder:
            build_shard(stems, statistics, folder, self.settings)
        return Completion("", rows_in=len(stems), rows_out=len(stems), files=files_of(storage.stored(self.name)))


def index_lexically(
    build: Build,
    documents: dict[str, int],
    settings: LexicalSettings,
    shard_documents: int,
    indexed: Indexed = ANNOTATED,
) -> dict[str, Completion]:
    """Build the index over `documents` (by part, in archive order): by default, the annotated ones."""
    build.run_tasks(f"{indexed.prefix}statistics", {"all": MergeStatistics(list(documents), indexed)})
    tasks = {
        f"shard-{number:04d}": BuildShard(parts, f"{indexed.folder}/shard-{number:04d}", settings, indexed)
        for number, parts in enumerate(shards_of(documents, shard_documents))
    }
    return build.run_tasks(f"{indexed.prefix}lexical", tasks)


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
