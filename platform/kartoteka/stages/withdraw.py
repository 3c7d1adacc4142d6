"""Withdraw: documents that a later stage could not take leave the edition's tables for quarantine.

That is a document that killed its worker after it was embedded. It is rare, so only the parts concerned are written
again. Its vector stays in the index until the next re-index; look-ups pass over ids that are not in `documents`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from kartoteka.documents import quarantine_table
from kartoteka.edition import GROUP_ROWS
from kartoteka.flow.build import Build
from kartoteka.flow.ledger import Completion, add_facts, files_of
from kartoteka.stages.analyse import withdrawn_file
from kartoteka.storage import Storage

TABLES = ("documents", "embeddings", "keyphrases")


@dataclass(frozen=True)
class WithdrawFrom:
    """One part: what `stages` refused is taken out of its tables."""

    part: str
    stages: Sequence[str]

    def __call__(self, storage: Storage) -> Completion:
        """Write the part's tables again without the documents, its quarantine with them; twice is as once."""
        names = [withdrawn_file(stage, self.part) for stage in self.stages]
        refused: dict[str, dict[str, Any]] = {}
        for row in (row for name in names if storage.exists(name) for row in storage.table(name).to_pylist()):
            refused.setdefault(row["id"], row)
        files = {}
        for table in TABLES:
            name = f"{table}/{self.part}.parquet"
            rows = storage.table(name)
            kept = pc.invert(pc.is_in(rows["id"], pa.array(list(refused), pa.string())))
            files[name] = storage.put_table(name, rows.filter(kept), GROUP_ROWS.get(table))
        name = f"quarantine/{self.part}.parquet"
        before = storage.table(name).to_pylist() if storage.exists(name) else []
        before = [row for row in before if row["stage"] not in self.stages]
        files[name] = storage.put_table(name, quarantine_table([*before, *refused.values()]))
        return Completion(
            "", len(refused), 0, len(refused), facts=_facts(list(refused.values())), files=files_of(files)
        )


def _facts(refused: list[dict[str, Any]]) -> dict[str, Any]:
    """What the documents' leaving changes in the counts of `embed`."""
    facts: dict[str, Any] = {}
    for row in refused:
        document = orjson.loads(row["record"])
        add_facts(facts, {"languages": {document["lang"]: -1}, "reasons": {row["reason"]: 1}})
        add_facts(facts, {"annotated": -bool(document["keyphrases"])})
        if document["year"] is not None:
            add_facts(facts, {"years": {str(document["year"]): -1}})
    return facts


def withdraw(build: Build, documents: dict[str, int], stages: Sequence[str]) -> dict[str, int]:
    """Run the stage for the parts in which `stages` refused a document; `documents` (rows by part) as they are then."""
    parts = sorted({c.part for stage in stages for c in build.ledger.done(stage).values() if c.quarantined})
    done = build.run_tasks("withdraw", {part: WithdrawFrom(part, stages) for part in parts})
    return {part: rows - (done[part].quarantined if part in done else 0) for part, rows in documents.items()}
