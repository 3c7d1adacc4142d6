"""Catalogue: where each document of the indexes is, and what filters read; after `withdraw`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from kartoteka import catalogue
from kartoteka.flow.build import Build
from kartoteka.flow.ledger import Completion, files_of
from kartoteka.folders import whole_folder
from kartoteka.stages import vectors
from kartoteka.stages.suggest import numbering, own_numbers
from kartoteka.storage import Storage

FOLDER = "catalogue"


@dataclass(frozen=True)
class WriteCatalogue:
    """The whole catalogue, part by part. `documents` as they were embedded; `first` numbers the annotated of a part."""

    documents: dict[str, int]
    first: dict[str, int]

    def __call__(self, storage: Storage) -> Completion:
        """Write it into the edition."""
        count = sum(self.documents.values())
        with storage.folder(FOLDER, whole=True) as place, whole_folder(place) as folder:
            held = catalogue.write(folder, count, self._parts(storage))
        return Completion("", count, held, files=files_of(storage.stored(FOLDER)))

    def _parts(self, storage: Storage) -> Iterator[catalogue.CataloguePart]:
        from kartoteka.vectors.index import ShardedVectors

        ids = ShardedVectors.open(storage.local(vectors.FOLDER)).ids  # of what was withdrawn too
        start = 0
        for part, count in self.documents.items():
            mine = ids.slice(start, count)
            table = storage.table(f"documents/{part}.parquet", ["id", "title", "abstract", "lang", "year", "added"])
            yield catalogue.CataloguePart(part, mine, table, own_numbers(storage, part, mine, self.first[part]))
            start += count


def write_catalogue(build: Build, documents: dict[str, int], annotated: dict[str, int]) -> None:
    """Run the stage; `documents` and `annotated` (rows by part, in archive order) as the indexes number them."""
    build.run_tasks("catalogue", {"all": WriteCatalogue(documents, numbering(annotated))})
