"""Labels: what a sentiment classifier says of documents, and how far their clusters let one believe it.

The classifier reads each document once, before `withdraw`; once the clusters are there, their purity is counted over
all labelled documents, and each label is reliable or not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from kartoteka.edition import BUILD
from kartoteka.flow.build import Build
from kartoteka.flow.ledger import Completion, files_of
from kartoteka.flow.stage import Resources, Step
from kartoteka.sentiment.classify import DEFAULT_CLASSIFIER
from kartoteka.sentiment.settings import ReliabilitySettings
from kartoteka.stages.analyse import withdrawn_file
from kartoteka.stages.describe import FOLDER as CLUSTERS
from kartoteka.stages.describe import SUMMARY
from kartoteka.stages.documents import DocumentStage
from kartoteka.stages.embed import texts_of
from kartoteka.stages.vectors import matrix_of
from kartoteka.storage import Storage, absolute

FOLDER = "labels"
PURITY = f"{BUILD}/{FOLDER}/purity.npz"
#: `probability` is the classifier's of its `label`; `reliable`: sure of the text, in a cluster that is pure in it.
LABELS_SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("label", pa.string(), nullable=False),
        pa.field("probability", pa.float32(), nullable=False),
        pa.field("cluster", pa.int32(), nullable=False),
        pa.field("purity", pa.float32(), nullable=False),
        pa.field("reliable", pa.bool_(), nullable=False),
    ]
)


class LabelSettings(ReliabilitySettings):
    """Which documents get a label, and when it is reliable: section `[labels]`, of no effect without `--classifier`."""

    languages: list[str] | None = Field(default=None, min_length=1)
    """Languages whose documents are labelled, as ISO 639-1 codes; none: all."""


@dataclass
class Classify(Step):
    """Adds `probabilities`: the classifier's, float32 [3]."""

    classifier: str
    gpus: float = 0.0
    name = "classify"

    def __post_init__(self) -> None:
        self.resources = Resources(1.0, self.gpus)

    def open(self) -> None:
        """Load the model onto this worker's device."""
        from kartoteka.sentiment.classify import open_classifier

        self.model = open_classifier(self.classifier, "cuda" if self.gpus else "cpu")

    def apply(self, rows: pa.Table) -> pa.Table:
        """Classify title and abstract of all rows."""
        found, _ = self.model.classify(texts_of(rows, ". "))
        flat = pa.array(found.reshape(-1))
        return rows.append_column("probabilities", pa.FixedSizeListArray.from_arrays(flat, found.shape[1]))


class Label(DocumentStage):
    """The documents of a part that are to be labelled, to probabilities kept in the build."""

    name = "label"

    def __init__(self, classifier: str, settings: LabelSettings, gpus: float = 0.0) -> None:
        own = classifier == DEFAULT_CLASSIFIER
        self.steps = [Classify(classifier if own else absolute(classifier), gpus)]
        self.settings = settings

    def load(self, storage: Storage, part: str, payload: bytes) -> pa.Table:
        """The documents in the languages asked for."""
        rows = storage.table(f"documents/{part}.parquet")
        if self.settings.languages is None:
            return rows
        return rows.filter(pc.is_in(rows["lang"], pa.array(self.settings.languages)))

    def write(self, storage: Storage, part: str, rows: pa.Table, refused: pa.Table) -> Completion:
        """Keep the probabilities."""
        storage.put_table(probabilities_file(part), rows.select(["id", "probabilities"]))
        if refused.num_rows:
            storage.put_table(withdrawn_file(self.name, part), refused)
        return Completion(part, rows.num_rows + refused.num_rows, rows.num_rows, refused.num_rows)


def probabilities_file(part: str) -> str:
    """What the classifier says of the part's documents."""
    return f"{BUILD}/{FOLDER}/{part}.parquet"


def placed(storage: Storage, part: str) -> tuple[pa.ChunkedArray, np.ndarray, np.ndarray]:
    """Ids, clusters int32 [n] and probabilities float32 [n, 3] of the labelled documents that are left in the part."""
    clusters = storage.table(f"{CLUSTERS}/{part}.parquet", ["id", "cluster"])
    labelled = storage.table(probabilities_file(part))
    place = pc.index_in(clusters["id"], labelled["id"].combine_chunks())
    rows = clusters.filter(pc.is_valid(place))
    found = matrix_of(labelled["probabilities"].take(pc.drop_null(place)))
    return rows["id"], rows["cluster"].to_numpy(), found


@dataclass(frozen=True)
class CountPurity:
    """How pure each cluster is, over the labelled documents of all parts."""

    parts: Sequence[str]

    def __call__(self, storage: Storage) -> Completion:
        """Write the summary of the clusters again, with purity and dominant class; keep both in the build."""
        from kartoteka.clustering.purity import Tally, purity_of, tally
        from kartoteka.clustering.summary import with_purity
        from kartoteka.sentiment.texts import CLASSES

        summary = storage.table(SUMMARY)
        total = Tally.empty(summary.num_rows, len(CLASSES))
        for part in self.parts:
            _, clusters, probabilities = placed(storage, part)
            total = total + tally(clusters, probabilities, summary.num_rows)
        pure = purity_of(total)
        stored = storage.put_table(SUMMARY, with_purity(summary, pure, CLASSES))
        storage.put_arrays(PURITY, size=pure.size, dominant=pure.dominant, hard=pure.hard, soft=pure.soft)
        return Completion("", facts={"labelled": int(pure.size.sum())}, files=files_of({SUMMARY: stored}))


@dataclass(frozen=True)
class WriteLabels:
    """The labels of one part."""

    part: str
    settings: LabelSettings

    def __call__(self, storage: Storage) -> Completion:
        """Put them into the edition."""
        from kartoteka.clustering.purity import Purity, reliable
        from kartoteka.sentiment.texts import CLASSES

        ids, clusters, probabilities = placed(storage, self.part)
        pure = Purity(**storage.arrays(PURITY))
        believed = reliable(clusters, probabilities, pure, **self.settings.thresholds())
        label = probabilities.argmax(axis=1)
        columns = [
            ids, pa.array(np.array(CLASSES)[label], pa.string()), probabilities.max(axis=1), clusters,
            self.settings.of(pure)[clusters].astype(np.float32), believed,
        ]  # fmt: skip
        name = f"{FOLDER}/{self.part}.parquet"
        files = files_of({name: storage.put_table(name, pa.table(columns, schema=LABELS_SCHEMA))})
        return Completion("", len(ids), len(ids), facts={"reliable": int(believed.sum())}, files=files)


def write_labels(build: Build, documents: dict[str, int], settings: LabelSettings) -> None:
    """Run the end of the stage over `documents` (rows by part), after `Label` and the clusters."""
    parts = [part for part, rows in documents.items() if rows]
    if parts:
        build.run_tasks("purity", {"all": CountPurity(parts)})
        build.run_tasks("labels", {part: WriteLabels(part, settings) for part in parts})
