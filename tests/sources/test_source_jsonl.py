"""JSON Lines: good rows, bad rows, broken files."""

from __future__ import annotations

import gzip
from pathlib import Path

import orjson
import pytest
import zstandard

from kartoteka.documents import ReadSettings, Reason, Refusal, from_record
from kartoteka.sources import SourceError, plan, read

SETTINGS = ReadSettings()


def rows(path: Path, settings: ReadSettings = SETTINGS) -> list:
    return [row for split in plan([str(path)], settings) for row in read(split, settings)]


def written(path: Path, content: bytes) -> Path:
    compress = {".gz": gzip.compress, ".zst": zstandard.compress}.get(path.suffix, bytes)
    path.write_bytes(compress(content))
    return path


@pytest.mark.parametrize("name", ["a.jsonl", "a.ndjson", "a.jsonl.gz", "a.jsonl.zst", "A.JSONL"])
def test_rows_and_where_they_come_from(tmp_path: Path, name: str) -> None:
    content = b'\xef\xbb\xbf{"id": 1}\r\n\n  \n{"id": "\xd0\xb6"}\n{"id": 3}'
    assert rows(written(tmp_path / name, content)) == [
        (f"{name}:1", {"id": 1}, b'\xef\xbb\xbf{"id": 1}\r'),
        (f"{name}:4", {"id": "ж"}, b'{"id": "\xd0\xb6"}'),
        (f"{name}:5", {"id": 3}, b'{"id": 3}'),
    ]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"id": "\xff"}', Reason.BAD_ENCODING),
        (b'{"id": "\\ud800"}', Reason.BAD_ENCODING),
        (b'{"id": 1', Reason.BAD_JSON),
        (b"id,title", Reason.BAD_JSON),
        (b"[1]", Reason.NOT_AN_OBJECT),
        (b'"a"', Reason.NOT_AN_OBJECT),
        (b"\x00" * 100, Reason.BINARY),
        (b"\x1f\x8b\x08\x00\x01\x02\x03", Reason.BAD_ENCODING),
        (b'{"a":' * 100_000, Reason.BAD_JSON),
    ],
)
def test_a_bad_line_is_kept_whole_and_the_next_is_read(tmp_path: Path, line: bytes, reason: str) -> None:
    bad, good = rows(written(tmp_path / "a.jsonl", b'{"id": 0}\n' + line + b'\n{"id": 2}\n'))[1:]
    assert isinstance(bad[1], Refusal)
    assert (bad[0], bad[1].reason, bad[2]) == ("a.jsonl:2", reason, line)
    assert "\n" not in bad[1].detail
    assert good == ("a.jsonl:3", {"id": 2}, b'{"id": 2}')


def test_raw_control_characters_in_strings(tmp_path: Path) -> None:
    ((_, record, _),) = rows(written(tmp_path / "a.jsonl", b'{"id": 1, "abstract": "An ar\x00chive\tof books"}\n'))
    assert record == {"id": 1, "abstract": "An ar\x00chive\tof books"}


def test_an_abstract_of_50_megabytes(tmp_path: Path) -> None:
    line = orjson.dumps({"id": 1, "abstract": "word " * 10_000_000})
    path = written(tmp_path / "a.jsonl", line + b'\n{"id": 2}\n')
    (_, record, raw), following = rows(path, ReadSettings(split_bytes=100 << 20))
    assert raw == line
    value = from_record(record, "", SETTINGS)
    assert isinstance(value, Refusal)
    assert value.reason == Reason.TOO_LONG
    assert following[1] == {"id": 2}
    (source, refusal, raw), following = rows(path, ReadSettings(max_record_bytes=1 << 20))
    assert (source, refusal.reason) == ("a.jsonl:1", Reason.TOO_LONG)
    assert f"{len(line)} bytes" in refusal.detail
    assert line.startswith(raw)
    assert following[1] == {"id": 2}


@pytest.mark.parametrize("kept", [0.5, 0.9999])
@pytest.mark.parametrize("suffix", ["gz", "zst"])
def test_truncated(tmp_path: Path, suffix: str, kept: float) -> None:
    lines = [orjson.dumps({"id": i, "abstract": f"{i * 7919 % 10007:x} " * 30}) for i in range(15_000)]
    path = written(tmp_path / f"a.jsonl.{suffix}", b"\n".join(lines))
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * kept)])
    (split,) = plan([str(path)], SETTINGS)
    found = []
    with pytest.raises(SourceError, match=rf"a\.jsonl\.{suffix}: .* after a\.jsonl\.{suffix}:(\d+): ") as error:
        found.extend(read(split, SETTINGS))
    assert [record for _, record, _ in found] == [orjson.loads(line) for line in lines[: len(found)]]
    assert f":{len(found)}: " in str(error.value)
    assert "\n" not in str(error.value)


def test_truncated_at_once(tmp_path: Path) -> None:
    for suffix, compress in (("gz", gzip.compress), ("zst", zstandard.compress)):
        path = tmp_path / f"a.jsonl.{suffix}"
        path.write_bytes(compress(b'{"id": 1}\n' * 100)[:-5])
        with pytest.raises(SourceError, match=rf"a\.jsonl\.{suffix}: cannot be uncompressed"):
            plan([str(path)])


def test_files_of_several_frames(tmp_path: Path) -> None:
    for suffix, compress in (("gz", gzip.compress), ("zst", zstandard.compress)):
        path = tmp_path / f"a.jsonl.{suffix}"
        path.write_bytes(compress(b'{"id": 1}\n') + compress(b'{"id": 2}\n'))
        assert [record for _, record, _ in rows(path)] == [{"id": 1}, {"id": 2}]


def test_a_json_array_is_not_json_lines(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"a\.jsonl: .* array"):
        plan([str(written(tmp_path / "a.jsonl", b'[\n{"id": 1},\n{"id": 2}]\n'))])
