"""The catalogue of an edition: where each document is, and what a search is filtered by, mapped into memory.

Its numbers are those of the vector index and of `search/`: all documents that were embedded, in archive order. What
left the edition later (see `stages.withdraw`) keeps its number and is never found.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kartoteka.folders import IDS, describe, description, mapped, mapped_ids, new_array
from kartoteka.keyphrases.hashing import hash_words
from kartoteka.text.language_codes import known_language

if TYPE_CHECKING:
    from kartoteka.online.filters import Filters

KIND = "catalogue"
NO_YEAR = int(np.iinfo(np.int16).min)
#: Up to so many documents are dropped from what a search without a filter found: a filter costs a look at all of them.
MOST_HIDDEN = 100
NO_DATE = int(np.iinfo(np.int32).min)
#: By number. `part` and `row`: place in `documents/PART.parquet`, -1 for what left the edition; `lang`: index into the
#: list of languages; `added`: days since 1970; `annotated`: number among the annotated documents, -1 for none.
_COLUMNS = {"part": "int32", "row": "int32", "year": "int16", "lang": "uint8", "added": "int32", "annotated": "int64"}
#: Of the documents that the edition holds: sorted hashes uint64, and the number int64 of each, equal ones ascending.
_LOOKUPS = ("id_hashes", "id_numbers", "text_hashes", "text_numbers")


@dataclass(frozen=True, slots=True)
class CataloguePart:
    """A part named `name`: the `ids` it was indexed with, the `documents` (DOCUMENT_SCHEMA) that are left of it.

    `annotated` int64 [ids]: the number of each among the annotated documents, -1 for none.
    """

    name: str
    ids: pa.ChunkedArray
    documents: pa.Table
    annotated: np.ndarray


def write(folder: Path, documents: int, parts: Iterable[CataloguePart]) -> int:
    """Write the catalogue of so many `documents`, in archive order, into an empty folder; returns how many are held.

    Memory: a part, and about 64 bytes a document while the hashes are sorted (24 are hashes and numbers).
    """
    columns = {name: new_array(folder, name, dtype, documents) for name, dtype in _COLUMNS.items()}
    names, languages, start = [], {}, 0
    hashes: dict[str, list[np.ndarray]] = {name: [] for name in _LOOKUPS}
    with pa.OSFile(str(folder / "ids.arrow"), "wb") as sink, pa.ipc.new_file(sink, IDS) as writer:
        for part in parts:
            ids = part.ids.combine_chunks().cast(pa.large_string())
            values = _values(part, ids, len(names), languages)
            for name, column in columns.items():
                column[start : start + len(ids)] = values[name]
            held = start + np.flatnonzero(values["row"] >= 0)
            kept = part.documents.take(pa.array(values["row"][values["row"] >= 0]))
            hashes["id_hashes"].append(hash_words(kept["id"].to_pylist()))
            hashes["text_hashes"].append(_text_hashes(kept["title"].to_pylist(), kept["abstract"].to_pylist()))
            hashes["id_numbers"].append(held)
            hashes["text_numbers"].append(held)
            writer.write_table(pa.table([ids], schema=IDS))
            names.append(part.name)
            start += len(ids)
    assert start == documents, f"{start} documents in the parts of {documents}"
    for column in columns.values():
        column.flush()
    for what in ("id", "text"):
        keys, numbers = np.concatenate(hashes[f"{what}_hashes"]), np.concatenate(hashes[f"{what}_numbers"])
        order = np.argsort(keys, kind="stable")
        np.save(folder / f"{what}_hashes.npy", keys[order])
        np.save(folder / f"{what}_numbers.npy", numbers[order])
    counts = {"languages": list(languages), "language_counts": list(languages.values())}
    describe(folder, KIND, {"documents": documents, "held": len(keys), "parts": names, **counts})
    return len(keys)


def _values(part: CataloguePart, ids: pa.Array, number: int, languages: dict[str, int]) -> dict[str, np.ndarray]:
    """The columns of one part; adds its documents to the count of each language."""
    table = part.documents
    row = pc.index_in(ids, table["id"].combine_chunks().cast(pa.large_string()))
    for lang in table["lang"].to_pylist():
        languages[lang] = languages.get(lang, 0) + 1
    assert len(languages) <= 256, f"{len(languages)} languages"
    lang = pc.index_in(table["lang"].combine_chunks(), pa.array(list(languages), pa.string()))

    def of(column: pa.Array | pa.ChunkedArray, missing: int) -> np.ndarray:
        return pc.fill_null(column.take(row), missing).to_numpy()

    row_of = pc.fill_null(row, -1).to_numpy()
    return {
        "part": np.where(row_of >= 0, number, -1),
        "row": row_of,
        "year": of(table["year"], NO_YEAR),
        "lang": of(lang, 0),
        "added": of(table["added"].cast(pa.int32()), NO_DATE),
        "annotated": part.annotated,
    }


def _text_hashes(titles: Sequence[str], abstracts: Sequence[str]) -> np.ndarray:
    """64 bits of BLAKE2b of each normalised title and abstract, uint64 [n]."""
    texts = (f"{title}\0{abstract}".encode(errors="replace") for title, abstract in zip(titles, abstracts, strict=True))
    return np.frombuffer(b"".join(hashlib.blake2b(text, digest_size=8).digest() for text in texts), np.uint64)


class Catalogue:
    """A catalogue, open; safe to share among threads. `parts` and `languages` are what its columns point into."""

    def __init__(self, values: dict[str, Any], arrays: dict[str, np.ndarray], ids: pa.ChunkedArray) -> None:
        self.documents: int = values["documents"]
        self.held: int = values["held"]
        self.parts: list[str] = values["parts"]
        #: language -> how many documents the edition holds in it
        self.languages: dict[str, int] = dict(zip(values["languages"], values["language_counts"], strict=True))
        for name in (*_COLUMNS, *_LOOKUPS):
            setattr(self, name, arrays[name])
        self._ids = ids.chunks
        self._starts = np.cumsum([0, *map(len, self._ids)])[:-1]
        self._new: WeakKeyDictionary[Catalogue, np.ndarray] = WeakKeyDictionary()

    part: np.ndarray
    row: np.ndarray
    year: np.ndarray
    lang: np.ndarray
    added: np.ndarray
    annotated: np.ndarray
    id_hashes: np.ndarray
    id_numbers: np.ndarray
    text_hashes: np.ndarray
    text_numbers: np.ndarray

    @classmethod
    def open(cls, folder: str | os.PathLike[str]) -> Catalogue:
        """Map a catalogue. Raises `ValueError` naming the file that is missing or torn."""
        values = description(folder, KIND)
        path = Path(folder) / "ids.arrow"
        try:
            ids = mapped_ids(path)
            arrays = {}
            for name in (*_COLUMNS, *_LOOKUPS):
                path = Path(folder) / f"{name}.npy"
                arrays[name] = mapped(path)
        except (OSError, ValueError, EOFError, pa.ArrowException) as error:
            raise ValueError(f"{KIND}: cannot read {path}: {str(error).splitlines()[0]}") from None
        return cls(values, arrays, ids)

    def ids_of(self, numbers: Sequence[int] | np.ndarray) -> list[str]:
        """The ids of `numbers`, of documents that left the edition too."""
        chunks = np.searchsorted(self._starts, numbers, side="right") - 1
        return [self._ids[c][int(n - self._starts[c])].as_py() for c, n in zip(chunks, numbers, strict=True)]

    def numbers_of(self, ids: Sequence[str]) -> np.ndarray:
        """The number of each id, int64 [n]; -1 for one that is unknown or left the edition."""
        hashes = hash_words([identity.encode(errors="replace").decode() for identity in ids])
        found = np.full(len(ids), -1, np.int64)
        for i, (identity, hashed) in enumerate(zip(ids, hashes, strict=True)):
            numbers = _equal(self.id_hashes, self.id_numbers, hashed)
            found[i] = next(
                (n for n, other in zip(numbers, self.ids_of(numbers), strict=True) if other == identity), -1
            )
        return found

    def number_of_text(self, title: str, abstract: str, identity: str | None = None) -> int:
        """The document of this normalised text, -1 for none; of several, the one called `identity`, or the first.

        Hashes of 64 bits are compared, not the texts.
        """
        numbers = _equal(self.text_hashes, self.text_numbers, _text_hashes([title], [abstract])[0])
        if not len(numbers):
            return -1
        ids = self.ids_of(numbers) if len(numbers) > 1 else []
        return int(numbers[ids.index(identity) if identity in ids else 0])

    @cached_property
    def _gone(self) -> np.ndarray:
        return np.flatnonzero(self.row < 0)

    def few_hidden(self, filters: Filters) -> np.ndarray | None:
        """The documents that `filters` and the edition hide, int64 ascending, where they are few and named.

        None where a filter keeps documents by what they are, or more than `MOST_HIDDEN` are hidden: then ask `mask`.
        """
        if not filters.only_exclude or self.documents - self.held > MOST_HIDDEN:
            return None
        numbers = self.numbers_of(filters.exclude)
        hidden = np.union1d(self._gone, numbers[numbers >= 0])
        return hidden if len(hidden) <= MOST_HIDDEN else None

    def mask(self, filters: Filters) -> np.ndarray | None:
        """Which documents `filters` and the edition allow, bool [documents]; None for all of them.

        Raises `ValueError` for a language that there is none of anywhere.
        """
        tests = [] if self.held == self.documents else [self.row >= 0]
        if filters.year_from is not None:
            tests.append(self.year >= filters.year_from)
        if filters.year_to is not None:
            tests.append(self.year <= filters.year_to)
        if filters.year_from is not None or filters.year_to is not None:
            tests.append(self.year != NO_YEAR)
        if filters.langs:
            named = (self.lang == number for number in self._language_numbers(filters.langs))
            tests.append(reduce(np.logical_or, named, np.zeros(self.documents, np.bool_)))
        if filters.added_since is not None:
            tests.append(self.added >= np.datetime64(filters.added_since, "D").astype(np.int64))
        if filters.not_in is not None:
            tests.append(self._new_since(filters.not_in))
        if filters.exclude:
            kept = np.ones(self.documents, np.bool_)
            numbers = self.numbers_of(filters.exclude)
            kept[numbers[numbers >= 0]] = False
            tests.append(kept)
        return reduce(np.logical_and, tests) if tests else None

    def _language_numbers(self, langs: Sequence[str]) -> list[int]:
        codes = {known_language(lang, "langs", self.languages) for lang in langs}
        return [number for number, lang in enumerate(self.languages) if lang in codes]

    def _new_since(self, other: Catalogue) -> np.ndarray:
        """Which documents `other` holds none of the same id of, bool [documents]; computed once for each other.

        Hashes of 64 bits are compared, not the ids.
        """
        new = self._new.get(other)
        if new is None:
            place = np.searchsorted(other.id_hashes, self.id_hashes)
            known = place < len(other.id_hashes)
            known[known] = other.id_hashes[place[known]] == self.id_hashes[known]
            new = np.ones(self.documents, np.bool_)
            new[self.id_numbers[known]] = False
            self._new[other] = new
        return new


def _equal(hashes: np.ndarray, numbers: np.ndarray, wanted: np.uint64) -> np.ndarray:
    """The `numbers` whose sorted hash is `wanted`."""
    first, last = np.searchsorted(hashes, wanted), np.searchsorted(hashes, wanted, side="right")
    return numbers[first:last]
