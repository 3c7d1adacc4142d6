"""Pseudo-labels: what a base model says of texts, believed where it is sure and the texts around agree.

Predictions, clusters of the model's own vectors, purity of each cluster, and the two thresholds. A gold label is never
overwritten: a labelled text counts in its cluster as what it is, and keeps its label. On texts unlike those it learned
from a model takes one class, mostly the neutral one, for all that it does not understand, and is sure of it: so of a
class that crowds out the others only the surest are believed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field, model_validator

from kartoteka.clustering.purity import passing, pseudo_labels, purity, reliable
from kartoteka.sentiment.settings import ReliabilitySettings
from kartoteka.sentiment.texts import CLASSES, UNLABELLED, Texts

SCHEMA = pa.schema(
    [
        ("id", pa.string()), ("text", pa.string()), ("source", pa.string()), ("label", pa.string()),
        ("gold", pa.bool_()), ("probability", pa.float32()), ("cluster", pa.int32()), ("dominant", pa.string()),
        ("purity", pa.float32()), ("agreed", pa.bool_()), ("reliable", pa.bool_()),
        *((name, pa.float32()) for name in CLASSES),
    ]
)  # fmt: skip


class PseudolabelSettings(ReliabilitySettings):
    """What is believed: section `[pseudolabels]`."""

    purities: list[float] = Field(default=[0.7, 0.8, 0.9, 0.95], min_length=1)
    probabilities: list[float] = Field(default=[0.7, 0.8, 0.9], min_length=1)
    """The thresholds that the table shows, besides those that are used."""

    largest_share: float = Field(default=0.5, ge=0.5, le=1)
    """Of one class among the texts that are believed: of more the surest are kept. 1: as many as there are."""

    @model_validator(mode="after")
    def _the_ones_used_are_shown(self) -> Self:
        for name, used in (("purities", self.purity), ("probabilities", self.probability)):
            object.__setattr__(self, name, sorted({*getattr(self, name), used}))
        return self


@dataclass(frozen=True)
class Pseudolabels:
    """What was read back. `believed` bool [n]: reliable and not gold; `label` and `dominant` int8, `cluster` int32.

    `shares` float32 [n, 3]: the probabilities.
    """

    ids: list[str]
    texts: list[str]
    label: np.ndarray
    believed: np.ndarray
    cluster: np.ndarray
    dominant: np.ndarray
    shares: np.ndarray


def pseudolabel(
    texts: Texts,
    probabilities: np.ndarray,
    clusters: np.ndarray,
    k: int,
    settings: PseudolabelSettings,
    agreed: np.ndarray | None = None,
) -> tuple[pa.Table, list[dict[str, Any]]]:
    """A `SCHEMA` table of `texts`, and how many unlabelled ones each pair of thresholds lets through.

    `probabilities` [n, 3] are the model's, `clusters` int32 [n] of k. `agreed` bool [n]: a second model says the same
    (None: there is none); a label that is not agreed upon is neither believed nor counted.
    """
    agreed = np.ones(len(texts), bool) if agreed is None else agreed
    gold = np.array(texts.labels, np.int64)
    known = gold != UNLABELLED
    seen = np.where(known[:, None], np.eye(len(CLASSES))[gold], probabilities)
    pure = purity(clusters, seen, k)
    believed = reliable(clusters, seen, pure, **settings.thresholds()) & (agreed | known)
    label = pseudo_labels(gold, probabilities, np.ones(len(gold), bool))
    sure = probabilities[np.arange(len(label)), label].astype(np.float32)
    believed &= known | surest(believed & ~known, label, sure, settings.largest_share)
    names = np.array(CLASSES)
    columns = [
        texts.ids, texts.texts, texts.sources, names[label], known, sure, clusters.astype(np.int32),
        names[pure.dominant[clusters]],
        settings.of(pure)[clusters].astype(np.float32), agreed, believed, *probabilities.astype(np.float32).T,
    ]  # fmt: skip
    free = np.flatnonzero(~known & agreed)
    sources = [texts.sources[i] for i in free]
    counts = passing(
        clusters[free], probabilities[free], pure, CLASSES, sources, settings.purities, settings.probabilities
    )
    return pa.table(columns, schema=SCHEMA), counts


def surest(chosen: np.ndarray, label: np.ndarray, sure: np.ndarray, largest: float) -> np.ndarray:
    """`chosen` bool [n] without the least sure of a class that is more than `largest` (at least a half) of them.

    `label` int [n], `sure` float [n]. Where all are of one class, and `largest` is less than 1, none is left.
    """
    counts = np.bincount(label[chosen], minlength=len(CLASSES))
    crowding = counts.argmax()
    most = np.inf if largest == 1 else largest / (1 - largest) * (counts.sum() - counts[crowding])
    if counts[crowding] <= most:
        return chosen
    crowd = np.flatnonzero(chosen & (label == crowding))
    kept = chosen.copy()
    kept[crowd[np.argsort(-sure[crowd], kind="stable")[int(most) :]]] = False
    return kept


def read_pseudolabels(file: str) -> Pseudolabels:
    """Read what `pseudolabel` made. Raises `ValueError`: no such file, or not one of these."""
    try:
        table = pq.read_table(file, columns=SCHEMA.names).cast(SCHEMA)
    except (OSError, pa.ArrowException) as error:
        raise ValueError(f"pseudolabels: {file} cannot be read: {str(error).splitlines()[0]}") from None
    return Pseudolabels(
        table["id"].to_pylist(),
        table["text"].to_pylist(),
        _numbers(file, table["label"]),
        table["reliable"].to_numpy() & ~table["gold"].to_numpy(),
        table["cluster"].to_numpy(),
        _numbers(file, table["dominant"]),
        np.stack([table[name].to_numpy() for name in CLASSES], axis=1),
    )


def _numbers(file: str, names: pa.ChunkedArray) -> np.ndarray:
    known = {name: number for number, name in enumerate(CLASSES)}
    try:
        return np.array([known[name] for name in names.to_pylist()], np.int8)
    except KeyError as error:
        raise ValueError(f"pseudolabels: {file} holds the label {error}, which is no class") from None
