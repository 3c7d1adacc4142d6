"""CSV and TSV: quoting, stray quotation marks, wrong delimiters."""

from __future__ import annotations

import csv
import gzip
import io
import tempfile
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from kartoteka.documents import ReadSettings, Reason, Refusal
from kartoteka.sources import SourceError, plan, read

SETTINGS = ReadSettings()
HEADER = b"id,title,abstract\n"


def rows(path: Path, content: bytes, config: ReadSettings = SETTINGS) -> list:
    path.write_bytes(content)
    return [row for split in plan([str(path)], config) for row in read(split, config)]


def record(*values: str) -> dict[str, str]:
    return dict(zip(("id", "title", "abstract"), values, strict=True))


def test_quotes_delimiters_and_line_feeds_in_fields(tmp_path: Path) -> None:
    content = b"\xef\xbb\xbf" + HEADER + b'1,"a, b","first\nsecond ""quoted"""\r\n\n2,c,\r\n3,d,e'
    assert rows(tmp_path / "a.csv", content) == [
        ("a.csv:2", record("1", "a, b", 'first\nsecond "quoted"'), b'1,"a, b","first\nsecond ""quoted"""\r'),
        ("a.csv:5", record("2", "c", ""), b"2,c,\r"),
        ("a.csv:6", record("3", "d", "e"), b"3,d,e"),
    ]


def test_compressed_and_tab_separated(tmp_path: Path) -> None:
    content = b"id\ttitle\tabstract\n1\ta, b\tc\n"
    expected = [record("1", "a, b", "c")]
    for suffix, data in (("", content), (".gz", gzip.compress(content)), (".zst", zstandard.compress(content))):
        assert [row[1] for row in rows(tmp_path / f"a.tsv{suffix}", data)] == expected
    semicolons = content.replace(b"\t", b";")
    assert [row[1] for row in rows(tmp_path / "d.csv", semicolons, ReadSettings(delimiter=";"))] == expected


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"1,a", Reason.BAD_CSV),
        (b"1,a,b,c", Reason.BAD_CSV),
        (b'1,"a" b,c', Reason.BAD_CSV),
        (b"1,\xff,c", Reason.BAD_ENCODING),
        (b'1,"a\n\xff",c', Reason.BAD_ENCODING),
        (b"1,a\rb,c", Reason.BAD_CSV),
    ],
)
def test_a_bad_row_is_kept_whole_and_the_next_is_read(tmp_path: Path, line: bytes, reason: str) -> None:
    bad, good = rows(tmp_path / "a.csv", HEADER + line + b"\n2,b,c\n")
    assert isinstance(bad[1], Refusal)
    assert (bad[0], bad[1].reason, bad[2]) == ("a.csv:2", reason, line)
    assert good[1] == record("2", "b", "c")


def test_a_stray_quotation_mark_costs_one_row(tmp_path: Path) -> None:
    good = b"".join(b"%d,title,text\n" % i for i in range(2, 2000))
    bad, *others = rows(tmp_path / "a.csv", HEADER + b'1,"never closed,text\n' + good)
    assert (bad[0], bad[1].reason, bad[2]) == ("a.csv:2", Reason.BAD_CSV, b'1,"never closed,text')
    assert [row[:2] for row in others] == [(f"a.csv:{i + 1}", record(str(i), "title", "text")) for i in range(2, 2000)]


def test_a_quotation_mark_not_closed_within_the_cap(tmp_path: Path) -> None:
    good = b"".join(b"%d,title,text\n" % i for i in range(2, 2000))
    config = ReadSettings(max_record_bytes=1024)
    bad, *others = rows(tmp_path / "a.csv", HEADER + b'1,"never closed,text\n' + good, config)
    assert bad[1].reason == Reason.BAD_CSV
    assert "not closed within 1024 bytes" in bad[1].detail
    assert len(others) == 1998


def test_an_over_long_line(tmp_path: Path) -> None:
    content = HEADER + b"1,a," + b"word " * 10_000 + b"\n2,b,c\n"
    long, good = rows(tmp_path / "a.csv", content, ReadSettings(max_record_bytes=1024))
    assert long[1].reason == Reason.TOO_LONG
    assert "50004 bytes" in long[1].detail
    assert good[1] == record("2", "b", "c")
    assert rows(tmp_path / "a.csv", content)[0][1]["abstract"] == "word " * 10_000


def test_nul_bytes_pass_for_the_document_to_judge(tmp_path: Path) -> None:
    assert rows(tmp_path / "a.csv", HEADER + b"1,a\x00b,c\n")[0][1] == record("1", "a\x00b", "c")


def test_tsv_without_quoting(tmp_path: Path) -> None:
    content = b'id\ttitle\tabstract\n1\t"Smart" cities\tb\n2\t"never closed\tb\n3\t"quoted\ttab"\tc\n4\td\te\n'
    assert [row[1] for row in rows(tmp_path / "a.tsv", content)] == [
        record("1", '"Smart" cities', "b"),
        record("2", '"never closed', "b"),
        record("3", "quoted\ttab", "c"),
        record("4", "d", "e"),
    ]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", b"id;title;abstract\n1;a;b\n", r"one column, 'id;title;abstract': is ';' the delimiter"),
        ("a.csv", b"id\ttitle\n1\ta\n", r"is '\\t' the delimiter"),
        ("a.tsv", b"id,title\n1,a\n", "is ',' the delimiter"),
        ("a.csv", b"ppn,title\n1,a\n", "no column `id`; the header has ppn, title"),
        ("a.csv", b"id,year\n1,2\n", "no column `title` or `abstract`"),
        ("a.csv", b"id,title,title\n1,2,3\n", "names 'title' twice"),
        ("a.csv", b"id,title,abstract\n", "a header and no rows"),
        ("a.csv", b'"id,title\n1,2\n', "the header cannot be read"),
        ("a.csv", b"\xff,title\n1,2\n", "the header cannot be read"),
        ("a.csv", b"", "empty"),
    ],
)
def test_wrong_files(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    with pytest.raises(SourceError, match=said) as error:
        rows(tmp_path / name, content)
    assert str(tmp_path / name) in str(error.value)
    assert "\n" not in str(error.value)


def test_truncated(tmp_path: Path) -> None:
    content = HEADER + b"".join(b"%d,%x,%x\n" % (i, i * 7919 % 10007, i * i) for i in range(100_000))
    path = tmp_path / "a.csv.zst"
    path.write_bytes(zstandard.compress(content)[:-100])
    (split,) = plan([str(path)])
    found = []
    with pytest.raises(SourceError, match=r"a\.csv\.zst: cannot be read on after a\.csv\.zst:\d+: "):
        found.extend(read(split))
    assert [int(row[1]["id"]) for row in found] == list(range(len(found)))
    assert found


texts = st.text(st.characters(codec="utf-8", exclude_characters="\r\x00"), max_size=12)


@settings(deadline=None)
@given(st.lists(st.tuples(texts, texts, texts), min_size=1, max_size=6), st.sampled_from(["csv", "tsv"]))
def test_what_a_writer_writes(values: list[tuple[str, str, str]], suffix: str) -> None:
    sink = io.StringIO(newline="")
    writer = csv.writer(sink, delimiter="\t" if suffix == "tsv" else ",", quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerows([("id", "title", "abstract"), *values])
    with tempfile.TemporaryDirectory() as folder:
        found = rows(Path(folder) / f"a.{suffix}", sink.getvalue().encode())
    assert [row[1] for row in found] == [record(*value) for value in values]


@settings(deadline=None)
@given(st.binary(min_size=1, max_size=200))
def test_no_byte_is_lost(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        found = rows(Path(folder) / "a.csv", HEADER + b"1,a,b\n" + content)
    kept = b"\n".join(raw for _, _, raw in found).split(b"\n")
    assert [line for line in kept if line.strip()] == [
        line for line in [b"1,a,b", *content.split(b"\n")] if line.strip()
    ]
