"""From the paths a person gives to the files that hold records, wherever `pyarrow.fs` can open them."""

from __future__ import annotations

import codecs
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from urllib.parse import quote

import pyarrow as pa
import pyarrow.fs as pafs

#: suffix -> format; each but Parquet may be followed by a suffix of COMPRESSIONS
FORMATS = {".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".tsv": "tsv", ".parquet": "parquet"}
COMPRESSIONS = {".gz": "gzip", ".zst": "zstd"}
#: of the text of each file, so much is looked at before a run starts
HEAD_BYTES = 1 << 20


class SourceError(ValueError):
    """An archive file that cannot be read (on): one line that names the file and how far reading came."""


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file of the archive: where to open it, a name that is the same on every machine, its size in bytes.

    `path` is an absolute local path or a URI.
    """

    path: str
    name: str
    size: int

    @property
    def format(self) -> str:
        """`jsonl`, `csv`, `tsv` or `parquet`, by the suffix."""
        return FORMATS[_suffixes(self.path)[0]]

    @property
    def compression(self) -> str | None:
        """`gzip`, `zstd` or None, by the suffix."""
        return COMPRESSIONS.get(_suffixes(self.path)[1])


def find(paths: Sequence[str]) -> list[SourceFile]:
    """The files named by `paths`: files, folders (searched through, sorted) and glob patterns (`*`, `?`, `**`).

    A folder and a pattern give the files with a known suffix, a file must have one. A file named twice is read once.
    Raises `ValueError` naming the path: nothing there, nothing readable in it, or an unknown suffix.
    """
    if not paths:
        raise ValueError("corpus: no path given")
    files: dict[str, SourceFile] = {}
    for path in paths:
        for file in _find(path):
            files.setdefault(file.path, file)
    return _distinct(list(files.values()))


def filesystem(path: str) -> tuple[pafs.FileSystem, str]:
    """The file system of a local path or URI, and the path inside it. Raises `SourceError` naming the path."""
    if "://" not in path:
        return pafs.LocalFileSystem(), os.path.abspath(path)
    try:
        return pafs.FileSystem.from_uri(path)
    except (OSError, ValueError) as error:  # pa.ArrowInvalid is a ValueError
        raise SourceError(f"{path}: {first_line(error)}") from None


@contextmanager
def opened(file: SourceFile, *, compressed: bool = True) -> Iterator[pa.NativeFile]:
    """The file's bytes, uncompressed, as a stream; with `compressed=False` as they lie, with `seek`.

    Raises `SourceError`: it cannot be opened, or it is not the file that was planned.
    """
    fs, inner = filesystem(file.path)
    try:
        info = fs.get_file_info(inner)
        if info.type != pafs.FileType.File or info.size != file.size:
            raise SourceError(f"{file.path}: gone or changed since the run was planned")
        stream = fs.open_input_stream(inner, file.compression) if compressed else fs.open_input_file(inner)
    except OSError as error:
        raise SourceError(f"{file.path}: cannot be opened: {first_line(error)}") from None
    with stream:
        yield stream


def beginning(file: SourceFile) -> bytes:
    """The first HEAD_BYTES of the file's text, without a byte order mark.

    Raises `SourceError`: it holds no rows, cannot be uncompressed, or is UTF-16.
    """
    if not file.size:
        raise SourceError(f"{file.path}: the file is empty")
    with opened(file) as stream:
        try:
            head = stream.read(HEAD_BYTES)
        except (OSError, pa.ArrowException) as error:
            raise SourceError(f"{file.path}: cannot be uncompressed: {first_line(error)}") from None
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise SourceError(f"{file.path}: the text is UTF-16, not UTF-8")
    head = head.removeprefix(codecs.BOM_UTF8)
    if len(head) < HEAD_BYTES and not head.strip():
        raise SourceError(f"{file.path}: the file is empty")
    return head


def first_line(error: Exception) -> str:
    """What a library's error says, in one line."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")


def _suffixes(path: str) -> tuple[str, str]:
    """(suffix of the format, suffix of the compression), lower case, without a URI's query."""
    name = re.sub(r"\?.*$", "", path) if "://" in path else path
    stem, last = os.path.splitext(name.lower())
    if last in COMPRESSIONS:
        return os.path.splitext(stem)[1], last
    return last, ""


def _known(path: str) -> bool:
    suffix, compression = _suffixes(path)
    return suffix in FORMATS and not (suffix == ".parquet" and compression)


def _find(path: str) -> list[SourceFile]:
    fs, inner = filesystem(path)
    inner = inner.rstrip("/")
    try:
        info = fs.get_file_info(inner or "/")
        if info.type == pafs.FileType.File:
            if not _known(path):
                known = ", ".join([*FORMATS, *COMPRESSIONS])
                raise ValueError(f"{path}: unknown suffix (known: {known})")
            local = isinstance(fs, pafs.LocalFileSystem)
            return [SourceFile(inner if local else path, os.path.basename(inner), info.size)]
        if info.type == pafs.FileType.Directory:
            base, pattern, above = inner, None, os.path.dirname(inner)
        elif re.search(r"[*?]", inner):
            base = above = inner[: re.search(r"[*?]", inner).start()].rpartition("/")[0]
            pattern = _pattern(inner)
        else:
            raise ValueError(f"{path}: no such file or folder")
        below = fs.get_file_info(pafs.FileSelector(base or "/", recursive=True, allow_not_found=True))
    except OSError as error:
        raise SourceError(f"{path}: cannot be listed: {first_line(error)}") from None
    files = [
        SourceFile(_child(path, base, info.path), info.path[len(above) :].lstrip("/"), info.size)
        for info in sorted(below, key=lambda info: info.path)
        if info.type == pafs.FileType.File
        and _known(info.path)
        and not re.search(r"(^|/)\.", info.path[len(base) :])
        and (pattern is None or pattern.fullmatch(info.path))
    ]
    if not files:
        raise ValueError(f"{path}: no {', '.join(FORMATS)} file there")
    return files


def _pattern(glob: str) -> re.Pattern[str]:
    """A shell pattern on whole paths: `*` and `?` stay inside one folder, `**/` is any number of folders."""
    parts = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return re.compile("".join(parts.get(p) or re.escape(p) for p in re.split(r"(\*\*/|\*\*|\*|\?)", glob)), re.DOTALL)


def _child(given: str, base: str, path: str) -> str:
    """How `path`, found below `base`, is opened, when `base` was `given` by a path or URI."""
    fs, _ = filesystem(given)
    if isinstance(fs, pafs.LocalFileSystem):
        return path
    scheme, _, rest = given.partition("://")
    _, mark, query = rest.partition("?")
    authority = rest[: rest.index(base)] if base in rest else ""
    return f"{scheme}://{authority}{quote(path)}{mark}{query}"


def _distinct(files: list[SourceFile]) -> list[SourceFile]:
    """The same files, with names that differ: equal ones get as many of their parent folders as that takes."""
    for depth in range(2, 1 + max(file.path.count("/") for file in files)):
        repeated = {name for name, times in Counter(file.name for file in files).items() if times > 1}
        if not repeated:
            break
        files = [
            replace(file, name="/".join(file.path.split("?")[0].split("/")[-depth:])) if file.name in repeated else file
            for file in files
        ]
    return files
