"""The annotated archive as memory-mapped arrays: documents -> phrases, phrase and word statistics, lookup tables.

`merge` builds it in one task from the `annotated.annotate` tables of all parts, read twice, one at a time; its memory
holds the distinct phrases and words, never the documents. `Archive.open` maps the files: processes share the pages.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.feather as feather

from kartoteka.folders import mapped
from kartoteka.keyphrases.annotated import words_of
from kartoteka.keyphrases.hashing import fold_rows, hash_words, table_build, table_get_all
from kartoteka.keyphrases.matching import count_documents, distinct_per_row
from kartoteka.keyphrases.phrases import MAX_LANGUAGES, build_phrases, clean, count_uses, language_column, shape

#: Longer author keyphrases are sentences: no text repeats them.
LONGEST_PHRASE = 8
_STRINGS = ("languages", "ids", "surfaces")


class ArchiveArrays(NamedTuple):
    """A documents, P phrases, W words, F forms, L language columns; read-only, what the kernels read.

    `doc_offsets` int64 [A + 1] and `doc_phrases` int32: distinct phrases of each document. `doc_language` int8 [A].
    `df` int32 [P]: documents that carry the phrase. `language_counts` int32 [P, L]. `text_counts` int32 [4, P]: see
    `matching.count_documents`. `form_of` int32 [P, L]: the form of a phrase per language; `form_offsets` [F + 1] and
    `form_words` int32: its word ids, -1 for a word no text holds twice. `form_keys`/`form_values`: phrase hash ->
    phrase. `word_keys`/`word_values`: word hash -> word id; `word_df`, `word_carried` int32 [W]: documents with the
    word in their text, and in a keyphrase. `shapes` float32 [P, 2]: `phrases.shape` of the surfaces.
    """

    doc_offsets: np.ndarray
    doc_phrases: np.ndarray
    doc_language: np.ndarray
    df: np.ndarray
    language_counts: np.ndarray
    text_counts: np.ndarray
    form_of: np.ndarray
    form_offsets: np.ndarray
    form_words: np.ndarray
    form_keys: np.ndarray
    form_values: np.ndarray
    word_keys: np.ndarray
    word_values: np.ndarray
    word_df: np.ndarray
    word_carried: np.ndarray
    shapes: np.ndarray


@dataclass(frozen=True)
class Archive:
    """The arrays, the archive's `languages` (most frequent first), its documents' `ids` and its phrases' `surfaces`."""

    arrays: ArchiveArrays
    languages: list[str]
    ids: pa.StringArray
    surfaces: pa.StringArray

    @property
    def documents(self) -> int:
        """Annotated documents, A."""
        return self.arrays.doc_offsets.size - 1

    @property
    def phrases(self) -> int:
        """Distinct phrases, P."""
        return self.arrays.df.size

    def phrases_of(self, document: int) -> np.ndarray:
        """The phrases that annotated document `document` carries."""
        offsets = self.arrays.doc_offsets
        return self.arrays.doc_phrases[offsets[document] : offsets[document + 1]]

    @staticmethod
    def open(folder: Path) -> Archive:
        """Map the files that `merge` wrote. Raises `FileNotFoundError` when one is missing."""
        arrays = [mapped(folder / f"{name}.npy") for name in ArchiveArrays._fields]
        strings = {name: feather.read_table(folder / f"{name}.arrow", memory_map=True)[name] for name in _STRINGS}
        return Archive(
            ArchiveArrays(*arrays),
            strings["languages"].to_pylist(),
            strings["ids"].combine_chunks(),
            strings["surfaces"].combine_chunks(),
        )


def merge(read: Callable[[], Iterator[pa.Table]], folder: Path) -> None:
    """Write the archive of all `ANNOTATED_SCHEMA` tables that `read()` yields in edition order; it is called twice.

    `folder` is created; committing it atomically is the caller's. No table at all, or no annotated document, gives a
    valid empty archive.
    """
    folder.mkdir(parents=True, exist_ok=True)
    uses: Counter[tuple[str, str]] = Counter()
    langs: Counter[str] = Counter()
    vocabulary = _WordCounts()
    ids: list[pa.Array] = []
    for table in read():
        ids.extend(table["id"].chunks)
        part = words_of(table)
        langs.update(part.langs)
        uses.update(count_uses(table["keyphrases"].to_pylist(), part.langs))
        vocabulary.add(part.title.words, part.title.offsets, part.abstract.words, part.abstract.offsets)
    languages = sorted(langs, key=lambda lang: (-langs[lang], lang))
    phrases = build_phrases(uses, languages, LONGEST_PHRASE)
    del uses

    form_lists = [key.split(" ") for _, _, key in phrases.forms]
    form_offsets = np.zeros(len(form_lists) + 1, np.int64)
    np.cumsum([len(words) for words in form_lists], out=form_offsets[1:])
    form_hashes = hash_words([word for words in form_lists for word in words])
    form_phrase = np.array([phrase for phrase, _, _ in phrases.forms], np.int32)
    form_keys, form_values = table_build(fold_rows(form_hashes, form_offsets), form_phrase)
    words, word_df = vocabulary.finish(form_hashes)
    word_keys, word_values = table_build(words, np.arange(words.size, dtype=np.int32))

    n_phrases, n_columns = len(phrases.surfaces), max(1, min(len(languages), MAX_LANGUAGES + 1))
    language_counts = np.zeros((n_phrases, n_columns), np.int32)
    for (phrase, column), count in phrases.language_counts.items():
        language_counts[phrase, column] = count
    form_of = np.full((n_phrases, n_columns), -1, np.int32)
    for i in range(len(phrases.forms) - 1, -1, -1):  # backwards, so that the first form of a language stays
        phrase, column, _ = phrases.forms[i]
        form_of[phrase, column] = i
    main = np.argmax(language_counts, axis=1) if n_phrases else np.zeros(0, np.int64)
    form_of = np.where(form_of >= 0, form_of, form_of[np.arange(n_phrases), main][:, None])

    form_words = table_get_all(word_keys, word_values, form_hashes)
    text_counts = np.zeros((4, n_phrases), np.int32)
    word_carried = np.zeros(words.size, np.int32)
    doc_counts, doc_phrases, doc_language = [], [], []
    column = language_column(languages)
    for table in read():
        part = words_of(table)
        own, offsets = _own_phrases(table["keyphrases"].to_pylist(), part.langs, phrases.of, n_phrases)
        count_documents(
            part.title.words, part.title.offsets, part.abstract.words, part.abstract.offsets, own, offsets,
            form_keys, form_values, LONGEST_PHRASE, text_counts,
        )  # fmt: skip
        columns = np.array([column[lang] for lang in part.langs], np.int8)
        _count_carried(own, offsets, columns, form_of, form_offsets, form_words, word_carried)
        doc_counts.append(np.diff(offsets))
        doc_phrases.append(own)
        doc_language.append(columns)
    carried = _concatenate(doc_phrases, np.int32)
    _save(
        folder,
        doc_offsets=np.concatenate([[0], np.cumsum(_concatenate(doc_counts, np.int64))]).astype(np.int64),
        doc_phrases=carried,
        doc_language=_concatenate(doc_language, np.int8),
        df=np.bincount(carried, minlength=n_phrases).astype(np.int32),
        language_counts=language_counts,
        text_counts=text_counts,
        form_of=form_of.astype(np.int32),
        form_offsets=form_offsets,
        form_words=form_words,
        form_keys=form_keys,
        form_values=form_values,
        word_keys=word_keys,
        word_values=word_values,
        word_df=word_df,
        word_carried=word_carried,
        shapes=np.array([shape(surface) for surface in phrases.surfaces], np.float32).reshape(-1, 2),
    )
    _save_strings(folder, "languages", pa.array(languages, pa.string()))
    _save_strings(folder, "ids", pa.concat_arrays(ids) if ids else pa.array([], pa.string()))
    _save_strings(folder, "surfaces", pa.array(phrases.surfaces, pa.string()))


class _WordCounts:
    """Document frequencies of word hashes, summed part by part as sorted arrays."""

    def __init__(self) -> None:
        self._words = np.zeros(0, np.uint64)
        self._counts = np.zeros(0, np.int64)

    def add(self, title: np.ndarray, title_offsets: np.ndarray, abstract: np.ndarray, offsets: np.ndarray) -> None:
        words = np.concatenate([title, abstract])
        rows = np.concatenate(
            [np.repeat(np.arange(o.size - 1), np.diff(o)) for o in (title_offsets, offsets)]
        ) if words.size else np.zeros(0, np.int64)  # fmt: skip
        distinct, codes = np.unique(words, return_inverse=True)
        pairs = np.unique(codes.astype(np.int64) * max(1, title_offsets.size) + rows)
        counts = np.bincount(pairs // max(1, title_offsets.size), minlength=distinct.size)
        both = np.concatenate([self._words, distinct])
        self._words, back = np.unique(both, return_inverse=True)
        self._counts = np.bincount(
            back, weights=np.concatenate([self._counts, counts]), minlength=self._words.size
        ).astype(np.int64)

    def finish(self, keep: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Sorted hashes and counts of the words in `keep` or in at least two documents.

        A word of one document cannot tell that document anything once its own count is left out.
        """
        all_words = np.unique(np.concatenate([self._words[self._counts >= 2], keep]))
        counts = np.zeros(all_words.size, np.int32)
        _, left, right = np.intersect1d(all_words, self._words, assume_unique=True, return_indices=True)
        counts[left] = self._counts[right]
        return all_words, counts


def _own_phrases(
    keyphrases: list[list[str]], langs: list[str], of: dict[tuple[str, str], int], n_phrases: int
) -> tuple[np.ndarray, np.ndarray]:
    lists = [
        [of.get((clean(phrase), lang), -1) for phrase in phrases]
        for phrases, lang in zip(keyphrases, langs, strict=True)
    ]
    offsets = np.zeros(len(lists) + 1, np.int64)
    np.cumsum([len(numbers) for numbers in lists], out=offsets[1:])
    flat = np.array([number for numbers in lists for number in numbers], np.int32)
    return distinct_per_row(flat, offsets, n_phrases)


def _count_carried(
    own: np.ndarray,
    offsets: np.ndarray,
    columns: np.ndarray,
    form_of: np.ndarray,
    form_offsets: np.ndarray,
    form_words: np.ndarray,
    counts: np.ndarray,
) -> None:
    """Add 1 to `counts` for every word in the keyphrases of each document."""
    rows = np.repeat(np.arange(offsets.size - 1), np.diff(offsets))
    forms = form_of[own, columns[rows]]
    lengths = form_offsets[forms + 1] - form_offsets[forms]
    starts = np.repeat(form_offsets[forms] - np.concatenate([[0], np.cumsum(lengths)[:-1]]), lengths)
    words = form_words[(starts + np.arange(lengths.sum())).astype(np.int64)].astype(np.int64)
    pairs = np.unique(np.repeat(rows, lengths) * max(1, counts.size) + words)
    counts += np.bincount(pairs % max(1, counts.size), minlength=counts.size).astype(np.int32)


def _concatenate(arrays: list[np.ndarray], dtype: type) -> np.ndarray:
    return np.concatenate([np.zeros(0, dtype), *arrays]).astype(dtype)


def _save(folder: Path, **arrays: np.ndarray) -> None:
    assert set(arrays) == set(ArchiveArrays._fields)
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", np.ascontiguousarray(array))


def _save_strings(folder: Path, name: str, values: pa.Array) -> None:
    feather.write_feather(pa.table({name: values}), str(folder / f"{name}.arrow"), compression="uncompressed")
