"""Lines of a stream: each once, whatever the pieces in which the stream comes."""

from __future__ import annotations

import io
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kartoteka.sources import lines
from kartoteka.sources.lines import KEPT_BYTES, read_lines

contents = st.lists(st.sampled_from([b"\n", b"a", b"bc", b"\r\n", b"\xd0\xb6"]), max_size=40).map(b"".join)


class Trickle(io.BytesIO):
    """A stream that gives at most three bytes at once."""

    def read(self, size: int = -1, /) -> bytes:
        return super().read(3)


@settings(deadline=None)
@given(contents)
def test_lines_are_those_of_split(content: bytes) -> None:
    expected = content.split(b"\n")
    if not expected[-1]:
        expected.pop()
    for stream in (io.BytesIO(content), Trickle(content)):
        found = list(read_lines(stream, cap=1000))
        assert [line.data for line in found] == expected
        assert all(content[line.offset : line.offset + line.length] == line.data for line in found)


@settings(deadline=None)
@given(contents, st.integers(1, 50))
def test_stop_leaves_out_the_lines_that_start_there(content: bytes, stop: int) -> None:
    every = list(read_lines(io.BytesIO(content), cap=1000))
    assert list(read_lines(Trickle(content), cap=1000, stop=stop)) == [line for line in every if line.offset < stop]


def test_a_long_line_is_cut_and_measured_in_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "CHUNK_BYTES", 1 << 16)
    content = io.BytesIO(b"a\n" + b"x" * 50_000_000 + b"\nb\n")
    tracemalloc.start()
    first, long, last = read_lines(content, cap=1 << 20)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (first.data, last.data, last.offset) == (b"a", b"b", 50_000_003)
    assert (long.data, long.offset, long.length) == (b"x" * KEPT_BYTES, 2, 50_000_000)
    assert peak < 4 << 20


def test_a_long_line_at_the_end() -> None:
    (line,) = read_lines(Trickle(b"y" * 100_000), cap=99_999)
    assert (len(line.data), line.length) == (KEPT_BYTES, 100_000)
    (line,) = read_lines(Trickle(b"y" * 100_000), cap=100_000)
    assert line.data == b"y" * 100_000
