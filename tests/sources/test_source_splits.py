"""Any cutting of a file gives the same rows, each once."""

from __future__ import annotations

import tempfile
from pathlib import Path

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given, settings
from hypothesis import strategies as st

from kartoteka.documents import ReadSettings
from kartoteka.sources import lines, plan, read

jsonl_lines = st.lists(
    st.one_of(
        st.dictionaries(st.sampled_from("abc"), st.text(max_size=5), max_size=2).map(orjson.dumps),
        st.sampled_from([b"", b" ", b"\r", b"{", b"\xff\xfe", b"null", b"x" * 90]),
    ),
    min_size=1,
    max_size=12,
)


def rows(path: Path, config: ReadSettings) -> list:
    return [row[1:] for split in plan([str(path)], config) for row in read(split, config)]


@settings(deadline=None, max_examples=60)
@given(jsonl_lines, st.integers(1, 300), st.integers(1, 40), st.booleans())
def test_jsonl(content: list[bytes], split_bytes: int, chunk: int, ended: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.jsonl"
        path.write_bytes(b'{"id":0}\n' + b"\n".join(content) + b"\n" * ended)
        config = ReadSettings(split_bytes=split_bytes, max_record_bytes=64)
        whole = rows(path, ReadSettings(max_record_bytes=64))
        before, lines.CHUNK_BYTES = lines.CHUNK_BYTES, chunk
        try:
            assert rows(path, config) == whole
        finally:
            lines.CHUNK_BYTES = before
        assert plan([str(path)], config) == plan([str(path)], config)


def test_sources_of_byte_splits_point_into_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"".join(orjson.dumps({"id": i}) + b"\n" for i in range(1000)))
    config = ReadSettings(split_bytes=999)
    found = [row for split in plan([str(path)], config) for row in read(split, config)]
    assert [record["id"] for _, record, _ in found] == list(range(1000))
    content = path.read_bytes()
    for source, _, raw in found:
        assert content[int(source.removeprefix("a.jsonl@")) :].startswith(raw + b"\n")


def test_an_over_long_line_across_many_splits(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"id": 1}\n' + b"x" * 3_000_000 + b'\n{"id": 2}\n')
    config = ReadSettings(split_bytes=100_000, max_record_bytes=1 << 20)
    first, long, last = rows(path, config)
    assert (first[0], last[0]) == ({"id": 1}, {"id": 2})
    assert "3000000 bytes" in long[0].detail


def test_parquet(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"id": range(1000), "title": ["Archives"] * 1000}), path, row_group_size=90)
    whole = [row for split in plan([str(path)]) for row in read(split)]
    for split_bytes in (1, 2000, 5000):
        config = ReadSettings(split_bytes=split_bytes)
        splits = plan([str(path)], config)
        assert len(splits) > 1
        assert [row for split in splits for row in read(split, config)] == whole
    assert [source for source, _, _ in whole] == [f"a.parquet:{i}" for i in range(1, 1001)]
