"""Reading predicted labels: id and label, and where known the probability of each class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from kartoteka.evaluation.classification import Labels
from kartoteka.evaluation.tables import Origin, records


def read_labels(origin: Origin, ids: Sequence[str], classes: Sequence[str], name: str) -> Labels:
    """The labels of the gold texts `ids` in `origin` (Parquet or JSON Lines): `id`, `label`, and columns named as the
    `classes` with their probabilities, if there are any.

    Raises `ValueError` naming the row: an id twice, a label that is no class, a probability outside [0, 1]; or a gold
    text without a prediction.
    """
    found: dict[str, tuple[int, list[float] | None]] = {}
    for where, row in records(origin, ("id", "label", *classes)):
        identity = str(row.get("id"))
        if row.get("id") is None:
            raise ValueError(f"{where}: `id` is missing")
        if identity in found:
            raise ValueError(f"{where}: `id` {identity!r} occurs twice")
        if row.get("label") not in classes:
            raise ValueError(f"{where}: `label` is {row.get('label')!r}, none of {', '.join(classes)}")
        found[identity] = (list(classes).index(row["label"]), _probabilities(where, row, classes))
    missing = [identity for identity in ids if identity not in found]
    if missing:
        raise ValueError(f"predictions: {name} has none for {len(missing):,} gold texts, `{missing[0]}` among them")
    asked = [found[identity] for identity in ids]
    known = all(probabilities is not None for _, probabilities in asked)
    return Labels(
        name,
        np.array([label for label, _ in asked], np.int64),
        np.array([probabilities for _, probabilities in asked], np.float64) if known else None,
    )


def _probabilities(where: str, row: dict[str, Any], classes: Sequence[str]) -> list[float] | None:
    values = [row.get(name) for name in classes]
    if any(value is None for value in values):
        return None
    if not all(isinstance(value, (int, float)) and 0 <= value <= 1 for value in values):
        raise ValueError(f"{where}: {values} are no probabilities of {', '.join(classes)}")
    return values
