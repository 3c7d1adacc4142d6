"""Labels: what a classifier says of the documents that are asked for, and where their clusters confirm it.

After the clusters: the tasks of the parts classify, one task adds up how pure the clusters are, and the tasks of the
parts write the table. What lies between two tasks are files of the build.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from kartoteka.clustering.purity import Purity, purity, reliable
from kartoteka.clustering.summary import with_purity
from kartoteka.edition import BUILD
from kartoteka.flow.build import Build, Task
from kartoteka.flow.ledger import Completion, files_of
from kartoteka.settings import Settings
from kartoteka.stages.describe import FOLDER, SUMMARY
from kartoteka.stages.embed import texts_of
from kartoteka.storage import Storage

if TYPE_CHECKING:
    from kartoteka.sentiment.classify import Classifier

NAME = "labels"
PURITY = f"{BUILD}/{NAME}/purity.npz"
#: `probability` is that of the label; `purity` that of the document's cluster.
SCHEMA = pa.schema(
    [
        pa.field(name, kind, nullable=False)
        for name, kind in (
            ("id", pa.string()), ("label", pa.string()), ("probability", pa.float32()), ("cluster", pa.int32()),
            ("purity", pa.float32()), ("reliable", pa.bool_()),
        )
    ]
)  # fmt: skip


class LabelSettings(Settings):
    """Which documents a classifier labels and what is believed of it: section `[labels]`, with `--classifier` only."""

    languages: list[str] | None = Field(default=None, min_length=1)
    """Codes of the languages whose documents are labelled; none: all."""

    separator: str = ". "
    """Between title and abstract."""

    purity: float = Field(default=0.9, ge=0, le=1)
    """Least share of a cluster's labelled documents that are given its dominant class, for a reliable label."""

    probability: float = Field(default=0.8, ge=0, le=1)
    """Least probability of a reliable label."""


def said_file(part: str) -> str:
    """`rows` int64 [n], the documents of a part that are labelled, and their `probabilities` float32 [n, classes]."""
    return f"{BUILD}/{NAME}/said/{part}.npz"


@dataclass(frozen=True)
class Classify:
    """What the classifier says of the documents of a part."""

    part: str
    classifier: str
    settings: LabelSettings

    def __call__(self, storage: Storage) -> Completion:
        """Keep it in the build."""
        documents = storage.table(f"documents/{self.part}.parquet", ["title", "abstract", "lang"])
        rows = np.arange(documents.num_rows)
        if self.settings.languages is not None:
            asked = pc.is_in(documents["lang"], pa.array(self.settings.languages))
            rows = np.flatnonzero(asked.to_numpy())
        texts = texts_of(documents.take(pa.array(rows)), self.settings.separator)
        probabilities, _ = _opened(self.classifier).classify(texts)
        storage.put_arrays(said_file(self.part), rows=rows, probabilities=probabilities)
        return Completion("")


@dataclass(frozen=True)
class Purify:
    """How pure every cluster is in the labels of all parts."""

    parts: Sequence[str]
    classes: Sequence[str]

    def __call__(self, storage: Storage) -> Completion:
        """Keep it in the build, and put it into the edition's table of clusters."""
        said = [_said(storage, part) for part in self.parts]
        summary = storage.table(SUMMARY)
        clusters, probabilities = (np.concatenate(arrays) for arrays in zip(*said, strict=True))
        found = purity(clusters, probabilities, summary.num_rows)
        storage.put_arrays(PURITY, **asdict(found))
        files = {SUMMARY: storage.put_table(SUMMARY, with_purity(summary, found, self.classes))}
        return Completion("", files=files_of(files))


@dataclass(frozen=True)
class Write:
    """The edition's table of labels for one part."""

    part: str
    classes: Sequence[str]
    settings: LabelSettings

    def __call__(self, storage: Storage) -> Completion:
        """Write it; a part without a labelled document has an empty one."""
        found = Purity(**storage.arrays(PURITY))
        clusters, probabilities = _said(storage, self.part)
        rows = storage.arrays(said_file(self.part))["rows"]
        documents = storage.table(f"documents/{self.part}.parquet", ["id"])
        believed = reliable(
            clusters, probabilities, found,
            least_purity=self.settings.purity, least_probability=self.settings.probability,
        )  # fmt: skip
        columns = [
            documents["id"].take(pa.array(rows)),
            np.array(self.classes, np.str_)[probabilities.argmax(axis=1)],
            probabilities.max(axis=1),
            clusters.astype(np.int32),
            found.hard[clusters].astype(np.float32),
            believed,
        ]
        name = f"{NAME}/{self.part}.parquet"
        files = {name: storage.put_table(name, pa.table(columns, schema=SCHEMA))}
        return Completion("", documents.num_rows, len(rows), files=files_of(files))


def label_documents(
    build: Build, documents: dict[str, int], classifier: str, settings: LabelSettings
) -> dict[str, Completion]:
    """Run the stage over `documents` (rows by part, those left in the edition), after `cluster_documents`."""
    if os.path.isdir(classifier):  # the workers run elsewhere
        classifier = os.path.abspath(classifier)
    return build.run_waves(NAME, plan(documents, classifier, settings))


@dataclass(frozen=True)
class Waves:
    """The tasks of the stage: those of a wave once all before it are done."""

    waves: Sequence[dict[str, Task]]

    def __call__(self, done: dict[str, Completion]) -> dict[str, Task]:
        """What is missing of the first wave that is not all done; none at the end."""
        missing: Iterator[dict[str, Task]] = (
            {name: task for name, task in wave.items() if name not in done} for wave in self.waves
        )
        return next(filter(None, missing), {})


def plan(documents: dict[str, int], classifier: str, settings: LabelSettings) -> Waves:
    """The stage's tasks for `documents`; none for an archive without any."""
    from kartoteka.sentiment.texts import CLASSES

    parts = list(documents) if any(documents.values()) else []
    classify: dict[str, Task] = {f"classify-{part}": Classify(part, classifier, settings) for part in parts}
    purify: dict[str, Task] = {"purity": Purify(parts, CLASSES)} if parts else {}
    return Waves([classify, purify, {f"write-{part}": Write(part, CLASSES, settings) for part in parts}])


def _said(storage: Storage, part: str) -> tuple[np.ndarray, np.ndarray]:
    """Clusters int64 [n] and probabilities [n, classes] of the labelled documents of a part."""
    said = storage.arrays(said_file(part))
    clusters = storage.table(f"{FOLDER}/{part}.parquet", ["cluster"])["cluster"].to_numpy()
    return clusters[said["rows"]].astype(np.int64), said["probabilities"]


@lru_cache(maxsize=1)
def _opened(classifier: str) -> Classifier:
    """The classifier, once per worker."""
    from kartoteka.sentiment.classify import open_classifier

    return open_classifier(classifier, device="cpu")
