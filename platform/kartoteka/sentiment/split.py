"""Who is learned from and who is held out."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from kartoteka.sentiment.texts import CLASSES, UNLABELLED, Texts, held_out, side_keys

#: Tables of a run, for a reader.
VALIDATION, TEST, REFUSED = "data/validation.parquet", "data/test.parquet", "data/refused.parquet"


def validation_of(given: Texts, share: float, seed: int) -> np.ndarray:
    """Which rows are not learned from, bool [n]: the validation texts, and whatever begins like one of them.

    They are those whose own split says so; where none does, a `share` of the labelled ones.
    """
    labelled = np.array(given.labels, np.int64) != UNLABELLED
    chosen = labelled & np.array(given.validation, bool)
    if labelled.any() and not chosen.any():
        return apart(given, share, f"validation:{seed}")
    sides = side_keys(given.texts)
    return np.isin(sides, sides[chosen])


def apart(given: Texts, share: float, salt: str) -> np.ndarray:
    """A `share` of the labelled texts, chosen by hash and `salt`, and whatever begins like one of them, bool [n]."""
    labelled, sides = np.array(given.labels, np.int64) != UNLABELLED, side_keys(given.texts)
    return np.isin(sides, sides[labelled][held_out(sides[labelled], share, salt)])


def check_classes(given: Texts, training: np.ndarray) -> None:
    """Raise `ValueError` where a class has no text to learn from among the rows `training`, bool [n]."""
    counts = np.bincount(np.array(given.labels, np.int64)[training] + 1, minlength=len(CLASSES) + 1)[1:]
    if missing := [name for name, count in zip(CLASSES, counts, strict=True) if not count]:
        others = "; ".join(f"{count:,} rows: {reason}" for reason, count in given.reasons().items())
        raise ValueError(
            f"data: no text of class `{missing[0]}` to learn from (labels are mapped under [sentiment.labels]"
            + (f"; refused: {others})" if others else ")")
        )


def gold_table(held: Texts) -> pa.Table:
    """Texts held out, as `kartoteka evaluate sentiment` takes them for gold."""
    labels = [CLASSES[number] for number in held.labels]
    return pa.table({"id": held.ids, "text": held.texts, "label": labels, "source": held.sources})


def refused_table(refused: list[tuple[str, str]]) -> pa.Table:
    """What was refused, and why."""
    schema = pa.schema([("id", pa.string()), ("reason", pa.string())])
    return pa.Table.from_pylist([{"id": name, "reason": why} for name, why in refused], schema)
