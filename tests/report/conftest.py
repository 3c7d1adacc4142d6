"""Editions as a run leaves them: real Parquet files behind a manifest with their hashes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from kartoteka.documents import DOCUMENT_SCHEMA, KEYPHRASES_SCHEMA, QUARANTINE_SCHEMA
from kartoteka.edition import FORMAT, MANIFEST
from kartoteka.storage import Storage

_SCHEMAS = {"documents": DOCUMENT_SCHEMA, "keyphrases": KEYPHRASES_SCHEMA, "quarantine": QUARANTINE_SCHEMA}


@pytest.fixture
def make_edition(tmp_path: Path) -> Callable[..., str]:
    """Write an edition of the given tables in parts of two rows; further arguments are sections of its manifest."""

    def make(tables: dict[str, list[dict[str, Any]]], **manifest: Any) -> str:
        folder = str(tmp_path / "edition")
        storage, files = Storage(folder), {}
        for name, rows in tables.items():
            for start in range(0, len(rows), 2):
                file = f"{name}/part-{start // 2:05d}.parquet"
                part = pa.Table.from_pylist(rows[start : start + 2], schema=_SCHEMAS[name])
                files[file] = storage.put_table(file, part).as_dict()
        storage.put_json(MANIFEST, {"format": FORMAT, "files": files, **manifest})
        return folder

    return make
