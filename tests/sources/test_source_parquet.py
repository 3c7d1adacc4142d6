"""Parquet: types, broken files, broken UTF-8 inside whole files."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from pathlib import Path

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kartoteka.documents import ReadSettings, Reason, Refusal, from_record
from kartoteka.sources import SourceError, plan, read


def written(path: Path, table: pa.Table, **options: object) -> Path:
    pq.write_table(table, path, **options)
    return path


def rows(path: Path) -> list:
    return [row for split in plan([str(path)]) for row in read(split)]


def test_types(tmp_path: Path) -> None:
    table = pa.table(
        {
            "id": pa.array([1, None], pa.int64()),
            "title": pa.array(["Archives", "Books"]).dictionary_encode(),
            "keywords": [["a", "b"], None],
            "date": pa.array([dt.date(2019, 5, 3), None]),
            "seen": pa.array([1_600_000_000_123_456_789, None], pa.timestamp("ns")),
            "price": pa.array([Decimal("1.50"), None]),
            "blob": pa.array([b"\xff", None]),
            "nested": [{"a": [1]}, None],
        }
    )
    (source, record, raw), (_, second, _) = rows(written(tmp_path / "a.parquet", table))
    assert source == "a.parquet:1"
    document = from_record(record, source, ReadSettings())
    assert isinstance(document, dict)
    assert (document["id"], document["title"], document["year"]) == ("1", "Archives", 2019)
    assert document["keyphrases"] == ["a", "b"]
    assert orjson.loads(document["extra"]) == {
        "blob": "/w==", "date": "2019-05-03", "nested": {"a": [1]}, "price": "1.50",
        "seen": "2020-09-13T12:26:40.123456",
    }  # fmt: skip
    assert orjson.loads(raw)["keywords"] == ["a", "b"]
    refusal = from_record(second, source, ReadSettings())
    assert isinstance(refusal, Refusal)
    assert refusal.reason == Reason.MISSING_ID


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"ppn": [1], "title": ["a"]}, "no column `id`; the columns are ppn, title"),
        ({"id": [1], "year": [2]}, "no column `title` or `abstract`"),
        ({"id": pa.array([], pa.int64()), "title": pa.array([], pa.string())}, "a table without rows"),
    ],
)
def test_wrong_tables(tmp_path: Path, columns: dict, said: str) -> None:
    with pytest.raises(SourceError, match=rf"a\.parquet: {said}"):
        plan([str(written(tmp_path / "a.parquet", pa.table(columns)))])


@pytest.mark.parametrize("kept", [0, 3, 100, -10])
def test_truncated_or_not_parquet(tmp_path: Path, kept: int) -> None:
    path = written(tmp_path / "a.parquet", pa.table({"id": range(1000), "title": ["Archives"] * 1000}))
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(SourceError, match=r"a\.parquet: (not a Parquet file|the file is empty)") as error:
        plan([str(path)])
    assert "\n" not in str(error.value)


def test_a_page_that_is_damaged(tmp_path: Path) -> None:
    titles = [np.random.default_rng(i).bytes(40).hex() for i in range(4000)]
    table = pa.table({"id": range(4000), "title": titles})
    path = written(tmp_path / "a.parquet", table, compression="zstd", row_group_size=1000, use_dictionary=False)
    content = bytearray(path.read_bytes())
    middle = pq.ParquetFile(path).metadata.row_group(2).column(1).data_page_offset
    content[middle + 100 : middle + 4000] = b"\x00" * 3900
    path.write_bytes(content)
    found = []
    (split,) = plan([str(path)])
    with pytest.raises(SourceError, match=r"a\.parquet: cannot be read on after a\.parquet:2000: ") as error:
        found.extend(read(split))
    assert [record["id"] for _, record, _ in found] == list(range(2000))
    assert "\n" not in str(error.value)


def test_broken_utf8_is_one_row(tmp_path: Path) -> None:
    titles = pa.array([b"Archives", b"B\xffoks", b"Readers"]).view(pa.string())
    tags = pa.array([[b"a"], [b"b"], [b"c\xff"]], pa.list_(pa.binary())).cast(pa.list_(pa.string()), safe=False)
    path = written(tmp_path / "a.parquet", pa.table({"id": [1, 2, 3], "title": titles, "tags": tags}))
    first, second, third = rows(path)
    assert first[1] == {"id": 1, "title": "Archives", "tags": ["a"]}
    for row, kept in ((second, b"B\xffoks"), (third, b"c\xff")):
        assert isinstance(row[1], Refusal)
        assert row[1].reason == Reason.BAD_ENCODING
        assert kept in row[2]
    assert third[0] == "a.parquet:3"
