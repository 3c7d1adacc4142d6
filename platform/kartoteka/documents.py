"""The Document table: one row per record of the archive, and what is wrong with a row that is not one.

`from_record` is the librarian's desk: people name the same field many ways and write years and keywords as they please.
What can be read is read; a record without an id or without text is refused, whole, with a reason; nothing else is lost,
because every field without a column of its own goes to `extra`.
"""

from __future__ import annotations

import base64
import datetime as dt
import html
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache
from typing import Any, TypeVar

import orjson
import pyarrow as pa
from pydantic import Field

from kartoteka.settings import Settings
from kartoteka.text import language
from kartoteka.text.language_codes import language_code
from kartoteka.text.normalise import normalise

#: One row of the archive. `extra` holds the record's further fields as one JSON object.
DOCUMENT_SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("title", pa.string(), nullable=False),
        pa.field("abstract", pa.string(), nullable=False),
        pa.field("lang", pa.string(), nullable=False),
        pa.field("year", pa.int16()),
        pa.field("keyphrases", pa.list_(pa.string()), nullable=False),
        pa.field("references", pa.list_(pa.string()), nullable=False),
        pa.field("added", pa.date32()),
        pa.field("source", pa.string(), nullable=False),
        pa.field("extra", pa.string(), nullable=False),
    ]
)

#: A row refused, whole: `record` is the raw record as it was read (bytes, so that broken UTF-8 survives).
QUARANTINE_SCHEMA = pa.schema(
    [
        pa.field("reason", pa.string(), nullable=False),
        pa.field("detail", pa.string(), nullable=False),
        pa.field("stage", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("id", pa.string()),
        pa.field("record", pa.binary(), nullable=False),
    ]
)

#: Keyphrases of an edition, most probable first.
KEYPHRASE_TYPE = pa.struct(
    [
        pa.field("phrase", pa.string(), nullable=False),
        pa.field("score", pa.float32(), nullable=False),
        pa.field("category", pa.string(), nullable=False),
        pa.field("origins", pa.list_(pa.string()), nullable=False),
        pa.field("neighbours", pa.list_(pa.string()), nullable=False),
        pa.field("concept", pa.string()),
    ]
)
KEYPHRASES_SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("keyphrases", pa.list_(KEYPHRASE_TYPE), nullable=False),
    ]
)


class Reason(StrEnum):
    """Why a row is in quarantine. A stage after reading may have further reasons of its own."""

    BAD_CSV = "bad_csv"
    BAD_ENCODING = "bad_encoding"
    BAD_ID = "bad_id"
    BAD_JSON = "bad_json"
    BAD_TYPE = "bad_type"
    BINARY = "binary"
    DUPLICATE_ID = "duplicate_id"
    EMPTY_TEXT = "empty_text"
    MISSING_ID = "missing_id"
    NOT_AN_OBJECT = "not_an_object"
    TOO_LONG = "too_long"


@dataclass(frozen=True, slots=True)
class Refusal:
    """A row that cannot be a document: a short snake_case `reason`, one line of `detail`, the row's id where known."""

    reason: str
    detail: str
    identity: str | None = None


class ReadSettings(Settings):
    """How archives are read: section `[read]` of the configuration."""

    #: the field that identifies a record, when it is not called `id` (or one of its usual names)
    id_field: str | None = None
    #: of CSV files; by default a comma for .csv and a tab for .tsv
    delimiter: str | None = Field(default=None, min_length=1, max_length=1)
    #: a title or an abstract of more characters is refused
    max_characters: int = Field(default=100_000, ge=1)
    #: a keyphrase of more characters is no keyphrase: it is moved to `extra`
    max_keyphrase_characters: int = Field(default=200, ge=1)
    #: a record of more bytes is refused without being parsed, and only its beginning is kept
    max_record_bytes: int = Field(default=64 << 20, ge=1)
    #: plain JSON Lines and Parquet files are cut in pieces of about this many bytes
    split_bytes: int = Field(default=64 << 20, ge=1)


#: The names a field goes by, the preferred one first; compared without case, spaces, dots or hyphens.
ALIASES: dict[str, tuple[str, ...]] = {
    "id": ("id", "_id", "identifier", "doc_id", "docid", "document_id", "paper_id", "record_id"),
    "title": ("title", "name", "heading"),
    "abstract": ("abstract", "text", "description", "summary"),
    "lang": ("lang", "language"),
    "year": ("year", "publication_year", "date", "publication_date", "published"),
    "keyphrases": ("keyphrases", "keywords", "author_keywords", "tags", "subjects"),
    "references": ("references",),
    "added": ("added", "date_added"),
}

MAX_ID_CHARACTERS = 1_000
_T = TypeVar("_T")
_YEAR = re.compile(r"(?<!\d)(1\d{3}|20\d{2})(?!\d)")
_COMPACT_DATE = re.compile(r"(1\d{3}|20\d{2})(0[1-9]|1[0-2])([0-2]\d|3[01])")
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufffd]")
_LETTER = re.compile(r"[^\W\d_]")
#: the share of control characters from which a text is not a text
_BINARY_SHARE = 0.1


@lru_cache(maxsize=4096)
def folded(name: str) -> str:
    """A field's name without case and separators: `Author Keywords` and `author-keywords` are `author_keywords`."""
    return re.sub(r"[\s.\-]+", "_", name.strip().lower())


def is_binary(text: str) -> bool:
    """Whether so much of `text` is control or replacement characters that it is not a text at all."""
    return _CONTROL.search(text) is not None and len(_CONTROL.findall(text)) > _BINARY_SHARE * len(text)


def from_record(record: object, source: str, settings: ReadSettings) -> dict[str, Any] | Refusal:
    """The Document values of one raw record (a JSON object, a CSV or a Parquet row), or why it cannot be one.

    Texts come out normalised, `lang` as ISO 639-1 (detected when absent or unknown), keyphrases and references as lists
    without duplicates. A value that a column cannot hold (an impossible year, an endless "keyphrase") is no reason to
    refuse a document: it stays in `extra`, under the record's own name for it.
    """
    if not isinstance(record, Mapping):
        return Refusal(Reason.NOT_AN_OBJECT, f"a record must be an object, not {type(record).__name__}")
    rest = {str(key): value for key, value in record.items() if value is not None and value != ""}
    names = _names(rest, settings.id_field)

    identity = _identity(rest.pop(names["id"])) if "id" in names else None
    if identity is None:
        return Refusal(Reason.MISSING_ID, f"no `{settings.id_field or 'id'}` among {_listed(record)}")
    if isinstance(identity, Refusal):
        return identity
    values = _values(rest, names, settings)
    if isinstance(values, Refusal):
        return replace(values, identity=identity)
    return {"id": identity, **values, "source": source}


def _values(rest: dict[str, Any], names: Mapping[str, str], settings: ReadSettings) -> dict[str, Any] | Refusal:
    """The Document values but `id` and `source`; `rest` is emptied of what has a column."""
    texts = {}
    for field in ("title", "abstract"):
        text = _text(rest.pop(names[field]), field, settings.max_characters) if field in names else ""
        if isinstance(text, Refusal):
            return text
        texts[field] = text
    if not any(_LETTER.search(text) for text in texts.values()):
        return Refusal(Reason.EMPTY_TEXT, "neither the title nor the abstract holds a letter")

    def taken(field: str, convert: Callable[[Any], _T | None]) -> _T | None:
        value = convert(rest[names[field]]) if field in names else None
        if value is not None:
            del rest[names[field]]
        return value

    date = rest.get(names.get("year", ""))
    year = taken("year", _year)
    if year is not None and str(date) not in (f"{year}", f"{year}.0"):
        rest[names["year"]] = date  # it says more than the year
    lang = taken("lang", lambda value: language_code(str(value)))
    added = taken("added", _date)
    references = list(dict.fromkeys(taken("references", _strings) or ()))
    phrases = list(dict.fromkeys(filter(None, map(normalise, taken("keyphrases", _strings) or ()))))
    if endless := [phrase for phrase in phrases if len(phrase) > settings.max_keyphrase_characters]:
        phrases = [phrase for phrase in phrases if phrase not in endless]
        rest["keyphrases_too_long"] = endless
    try:
        "".join((*texts.values(), *phrases, *references)).encode()
        extra = orjson.dumps(rest, default=plain, option=orjson.OPT_SORT_KEYS).decode()
    except UnicodeEncodeError as error:
        return Refusal(Reason.BAD_ENCODING, f"half a surrogate pair, {error.object[error.start]!a}, is no character")
    except orjson.JSONEncodeError as error:
        return Refusal(Reason.BAD_TYPE, f"a further field cannot be written as JSON: {error}")
    return {
        **texts,
        "lang": lang or language.detect(f"{texts['title']}\n{texts['abstract']}"),
        "year": year,
        "keyphrases": phrases,
        "references": references,
        "added": added,
        "extra": extra,
    }


def missing_columns(columns: Iterable[str], settings: ReadSettings) -> str | None:
    """What a table with these `columns` lacks to hold documents, in words; None when it lacks nothing."""
    names = _names(dict.fromkeys(columns, True), settings.id_field)
    if "id" not in names:
        return f"no column `{settings.id_field or 'id'}`"
    if "title" not in names and "abstract" not in names:
        return "no column `title` or `abstract`"
    return None


def to_table(rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """A table of DOCUMENT_SCHEMA from values as `from_record` gives them."""
    return _table(rows, DOCUMENT_SCHEMA)


def quarantine_row(
    refusal: Refusal, *, stage: str, source: str, record: bytes, identity: str | None = None
) -> dict[str, Any]:
    """The values of one quarantined row; its id is `identity`, or else the one that the refusal knows."""
    return {
        "reason": str(refusal.reason),
        "detail": refusal.detail,
        "stage": stage,
        "source": source,
        "id": identity if identity is not None else refusal.identity,
        "record": record,
    }


def quarantine_table(rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """A table of QUARANTINE_SCHEMA from rows as `quarantine_row` gives them."""
    return _table(rows, QUARANTINE_SCHEMA)


def plain(value: Any) -> str:
    """What JSON lacks, as a string: binary as base64, the rest (decimals, durations) as Python writes it."""
    return base64.b64encode(value).decode() if isinstance(value, bytes) else str(value)


def _table(rows: Sequence[Mapping[str, Any]], schema: pa.Schema) -> pa.Table:
    columns = [pa.array([row[field.name] for row in rows], field.type) for field in schema]
    assert all(field.nullable or not column.null_count for field, column in zip(schema, columns, strict=True))
    return pa.table(columns, schema=schema)


def _names(record: Mapping[str, Any], id_field: str | None) -> dict[str, str]:
    """Of each Document field that `record` has, the record's own name for it."""
    own = {folded(key): key for key in reversed(record)}
    found = {}
    for field, aliases in ALIASES.items():
        for alias in (folded(id_field),) if field == "id" and id_field else aliases:
            if alias in own:
                found[field] = own[alias]
                break
    return found


def _listed(record: Mapping[str, Any]) -> str:
    names = [repr(str(name)[:40]) for name in record]
    return ", ".join([*names[:8], "..."] if len(names) > 8 else names) or "no fields"


def _identity(value: Any) -> str | Refusal | None:
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        value = int(value)  # an integer column with gaps becomes floats on its way through many tools
    if isinstance(value, bool) or not isinstance(value, str | int):
        return Refusal(Reason.BAD_ID, f"an id must be a string or an integer, not {type(value).__name__}")
    text = str(value).strip()
    if len(text) > MAX_ID_CHARACTERS:
        return Refusal(Reason.BAD_ID, f"an id of {len(text)} characters (at most {MAX_ID_CHARACTERS})")
    if not text.isprintable():
        return Refusal(Reason.BAD_ID, f"an id with unprintable characters: {text[:80]!a}")
    return text or None


def _text(value: Any, field: str, limit: int) -> str | Refusal:
    if isinstance(value, bool) or not isinstance(value, str | int):
        return Refusal(Reason.BAD_TYPE, f"`{field}` must be a string, not {type(value).__name__}")
    text = str(value)
    if len(text) > limit:
        return Refusal(Reason.TOO_LONG, f"`{field}` has {len(text)} characters (at most {limit})")
    if is_binary(text):
        return Refusal(Reason.BINARY, f"`{field}` is mostly control characters")
    return normalise(text)


def _year(value: Any) -> int | None:
    if isinstance(value, dt.date):  # a datetime is one too
        return value.year
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    text = str(value).strip()
    found = _COMPACT_DATE.fullmatch(text) or _YEAR.search(text)
    return int(found[1]) if found else None


def _date(value: Any) -> dt.date | None:
    if isinstance(value, dt.datetime):
        return value.date()
    if isinstance(value, dt.date):
        return value
    try:
        return dt.date.fromisoformat(value[:10]) if isinstance(value, str) else None
    except ValueError:
        return None


def _strings(value: Any) -> list[str] | None:
    """The items of a list, or of one string that lists them; None when it is neither (a list of objects, say)."""
    if isinstance(value, str):
        if value.lstrip().startswith("["):  # a list that went through a CSV file
            with suppress(orjson.JSONDecodeError):
                value = orjson.loads(value)
        if isinstance(value, str):
            value = html.unescape(value)  # or `R&amp;D` would be cut at its semicolon
            value = re.split(r"[;\n]" if re.search(r"[;\n]", value.strip()) else ",", value)
    if not isinstance(value, list | tuple):
        return None
    items = [item for item in value if item is not None]
    if not all(isinstance(item, str | int) for item in items):
        return None
    return [text for item in items if (text := str(item).strip())]
