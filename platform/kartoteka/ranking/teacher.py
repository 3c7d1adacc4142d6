"""Another ranker as teacher: what its scores say of the spans of the training documents, beside their keyphrases.

A document's authors chose four of the dozen phrases that would do; a larger model that has read many documents says of
each how likely it was. A small model that learns from both sees what the choice left out (Hinton et al. 2015).
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kartoteka.edition import BUILD
from kartoteka.encoding.settings import EncodingSettings
from kartoteka.encoding.spans import LONGEST, MISSING, Spans
from kartoteka.flow.ledger import Completion
from kartoteka.ranking.directory import RankerFiles, open_ranker
from kartoteka.ranking.labels import LEFT_OUT
from kartoteka.ranking.pairs import pairs_file
from kartoteka.ranking.split import Split
from kartoteka.stages.spans import span_steps, spans_of
from kartoteka.stages.trained import EncodeTrained
from kartoteka.storage import Storage
from kartoteka.training.edition import OfEdition, annotated_rows


def open_teacher(path: str) -> RankerFiles:
    """A ranker's directory to learn from. Raises `ValueError`: see `open_ranker`; or it scores no spans."""
    try:
        files = open_ranker(path)
    except ValueError as error:
        raise ValueError(f"teacher: {error}") from None
    if files.spans is None:
        raise ValueError(f"teacher: the ranker in {path} has no scores of spans to learn from")
    return files


def plan_of(teacher: RankerFiles, weight: float) -> dict[str, str | float | None]:
    """What decides the labels; where the directory lies, and which fusion is in it, does not."""
    return {
        "encoder": teacher.encoder_sha256, "spans": teacher.spans_sha256, "separator": teacher.separator,
        "weight": weight,
    }  # fmt: skip


class AskTeacher(OfEdition):
    """The teacher's scores of all spans of the training documents of a part. After the pairs."""

    name = "teacher"

    def __init__(self, edition: str, teacher: RankerFiles, gpus: float) -> None:
        assert teacher.spans is not None
        self.edition = edition
        encoding = EncodeTrained.encoding(teacher, EncodingSettings(), None)
        self.steps = span_steps(encoding, teacher.separator, teacher.spans, gpus)

    def load(self, storage: Storage, part: str, payload: bytes) -> pa.Table:
        """The training documents of the part."""
        pairs = storage.table(pairs_file(part), ["id", "split"])
        learned = pairs.filter(pc.field("split") == int(Split.TRAINING))["id"]
        rows = annotated_rows(self.edition, part)
        asked = rows.filter(pc.is_in(rows["id"], learned.combine_chunks()))
        assert asked.num_rows == len(learned)
        return asked

    def write(self, storage: Storage, part: str, rows: pa.Table, refused: pa.Table) -> Completion:
        """Put the scores into the build."""
        storage.put_table(teacher_file(part), rows.select(["id", "spans"]))
        return Completion(part, rows.num_rows, rows.num_rows)


def soft_labels(storage: Storage, part: str, pairs: pa.Table, weight: float) -> pa.LargeListArray:
    """The column `word_labels` of a part's `pairs` as float16, with what the teacher says of the training documents.

    See `mixed`; those of validation keep their labels.
    """
    found = storage.table(teacher_file(part))
    spans = spans_of(found["spans"])
    place = pc.index_in(pairs["id"].combine_chunks(), found["id"].combine_chunks()).to_pylist()
    column = pairs["word_labels"].combine_chunks()
    offsets = column.offsets.to_numpy()
    labels = column.values.to_numpy().astype(np.float16).reshape(-1, LONGEST)
    words = offsets // LONGEST
    for row, own in enumerate(place):
        if own is not None:
            some = slice(words[row], words[row + 1])
            labels[some] = mixed(labels[some], spans.slice(own, own + 1), weight)
    return pa.LargeListArray.from_arrays(pa.array(offsets), pa.array(labels.reshape(-1)))


def mixed(labels: np.ndarray, spans: Spans, weight: float) -> np.ndarray:
    """(1 - `weight`) x label + `weight` x the teacher's probability, float16 [m, L], of the m words of a document.

    `labels` [m, L], see `labels.span_labels`: what is left out stays so. `spans`: of the same document, by the teacher.
    It may read fewer or more of the words; what it does not read keeps its label.
    """
    scores = np.full(labels.shape, MISSING, np.float32)
    read = min(len(labels), len(spans.scores))
    scores[:read] = spans.scores[:read]
    known = (labels != LEFT_OUT) & (scores > MISSING)
    targets = (1 - weight) * labels.astype(np.float32) + weight / (1 + np.exp(-scores))
    return np.where(known, targets, labels).astype(np.float16)


def teacher_file(part: str) -> str:
    """The teacher's scores for a part."""
    return f"{BUILD}/teacher/{part}.parquet"
