"""How parts become shards and numbers, and what leaves the edition late."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import orjson
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kartoteka.documents import Refusal, quarantine_row, quarantine_table
from kartoteka.flow.build import filled
from kartoteka.sources import fingerprint
from kartoteka.sources.files import SourceFile
from kartoteka.stages.analyse import withdrawn_file
from kartoteka.stages.lexical import shards_of
from kartoteka.stages.suggest import numbering
from kartoteka.stages.vectors import matrix_of
from kartoteka.stages.withdraw import WithdrawFrom
from kartoteka.storage import Storage

COUNTS = st.lists(st.integers(0, 50), min_size=1, max_size=30).map(
    lambda counts: {f"part-{number:03d}": count for number, count in enumerate(counts)}
)


@given(COUNTS, st.integers(1, 80))
def test_shards_keep_the_order_and_hold_no_more_than_asked(documents: dict[str, int], most: int) -> None:
    shards = shards_of(documents, most)
    assert [part for shard in shards for part in shard] == list(documents)
    assert all(len(shard) == 1 or sum(documents[part] for part in shard) <= most for shard in shards)


@given(COUNTS)
def test_numbers_begin_where_the_part_before_ends(annotated: dict[str, int]) -> None:
    first = numbering(annotated)
    assert list(first) == list(annotated)
    assert [first[part] for part in annotated] == [sum(list(annotated.values())[:n]) for n in range(len(annotated))]


def test_an_archive_without_a_document_is_refused() -> None:
    assert filled({"a": 0, "b": 2}) == {"b": 2}
    with pytest.raises(ValueError, match="corpus: no row"):
        filled({"a": 0})


def test_a_column_of_vectors_is_a_matrix_also_when_sliced_or_empty() -> None:
    vectors = np.arange(12, dtype=np.float16).reshape(4, 3)
    column = pa.chunked_array([pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), 3)])
    assert np.array_equal(matrix_of(column.slice(1, 2)), vectors[1:3])
    assert matrix_of(column.slice(0, 0)).shape == (0, 3)


def test_a_fingerprint_sees_a_change_at_either_end(tmp_path: Path) -> None:
    def of(data: bytes) -> str:
        (tmp_path / "a.jsonl").write_bytes(data)
        return fingerprint(SourceFile(str(tmp_path / "a.jsonl"), "a.jsonl", len(data)))["fingerprint"]

    whole = b"a" * 1_000_000
    assert of(whole) == of(whole)
    assert len({of(whole), of(b"b" + whole[1:]), of(whole[:-1] + b"b"), of(whole + b"a")}) == 4


def test_a_withdrawn_document_leaves_every_table_once_and_only_once(tmp_path: Path) -> None:
    storage = Storage(tmp_path)
    for table in ("documents", "embeddings", "keyphrases"):
        storage.put_table(f"{table}/part-0.parquet", pa.table({"id": ["a", "b", "c"], "x": [1, 2, 3]}))
    earlier = quarantine_row(Refusal("empty_text", "x"), stage="read", source="f:9", record=b"{}")
    storage.put_table("quarantine/part-0.parquet", quarantine_table([earlier]))
    record = orjson.dumps({"id": "b", "lang": "ru", "year": 1999, "keyphrases": ["k"]})
    late = quarantine_row(Refusal("killed_worker", "x"), stage="suggest", source="f:2", record=record, identity="b")
    storage.put_table(withdrawn_file("suggest", "part-0"), quarantine_table([late]))

    task = WithdrawFrom("part-0", ["analyse", "suggest"])
    first, second = task(storage), task(storage)
    assert first == second
    assert first.facts == {
        "languages": {"ru": -1}, "years": {"1999": -1}, "reasons": {"killed_worker": 1}, "annotated": -1,
    }  # fmt: skip
    for table in ("documents", "embeddings", "keyphrases"):
        assert storage.table(f"{table}/part-0.parquet")["id"].to_pylist() == ["a", "c"]
    reasons = storage.table("quarantine/part-0.parquet")["reason"].to_pylist()
    assert reasons == ["empty_text", "killed_worker"]
