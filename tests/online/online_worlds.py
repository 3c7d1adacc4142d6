"""A catalogue of made documents, some of which left their edition."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from kartoteka.catalogue import Catalogue, CataloguePart, write
from kartoteka.documents import DOCUMENT_SCHEMA
from kartoteka.folders import whole_folder


def document(identity: str, **values: Any) -> dict[str, Any]:
    row = {"id": identity, "title": f"On {identity}", "abstract": "", "lang": "en", "year": 2000, "added": None}
    return {**row, "keyphrases": [], "references": [], "source": "a:1", "extra": "{}", **values}


def make_catalogue(folder: Path, parts: list[list[dict[str, Any]]], gone: frozenset[str] = frozenset()) -> Catalogue:
    """The catalogue of `parts`, after the documents `gone` left; the annotated ones are those with keyphrases."""
    annotated = [row["id"] for part in parts for row in part if row["keyphrases"]]
    made = [
        CataloguePart(
            f"part-{number}",
            pa.chunked_array([[row["id"] for row in part]], pa.string()),
            pa.Table.from_pylist([row for row in part if row["id"] not in gone], schema=DOCUMENT_SCHEMA),
            np.array([annotated.index(row["id"]) if row["id"] in annotated else -1 for row in part], np.int64),
        )
        for number, part in enumerate(parts)
    ]
    with whole_folder(folder) as beside:
        write(beside, sum(map(len, parts)), made)
    return Catalogue.open(folder)
