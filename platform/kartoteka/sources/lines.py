"""Lines of a byte stream, in bounded memory however long a line is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

CHUNK_BYTES = 1 << 20
#: of a line longer than the cap, so much is kept
KEPT_BYTES = 64 << 10


class Readable(Protocol):
    """What lines are read from: a file, or a stream being uncompressed."""

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes; none at the end."""
        ...


@dataclass(frozen=True, slots=True)
class Line:
    """`data` without its line feed, its offset in the stream and its length, both in bytes.

    `data` is the whole line, or its first KEPT_BYTES when it is longer than the cap.
    """

    data: bytes
    offset: int
    length: int


def read_lines(stream: Readable, cap: int, offset: int = 0, stop: int | None = None) -> Iterator[Line]:
    """The lines of `stream`, whose first byte is number `offset`, that start before byte `stop`.

    A last line without a line feed is a line; after a last line feed there is none. What `stream.read` raises passes
    through, after the lines that were whole by then.
    """
    begun: list[bytes] = []  # what earlier chunks hold of the line, and how long it is so far
    length = 0
    while chunk := stream.read(CHUNK_BYTES):
        *ended, rest = chunk.split(b"\n")
        for data in ended:
            length += len(data)
            if begun:
                data = b"".join([*begun, data])
                begun = []
            yield Line(data if length <= cap else data[:KEPT_BYTES], offset, length)
            offset += length + 1
            length = 0
            if stop is not None and offset >= stop:
                return
        begun.append(rest)
        length += len(rest)
        if length > cap:
            begun = [b"".join(begun)[:KEPT_BYTES]]
    if length:
        yield Line(b"".join(begun), offset, length)
