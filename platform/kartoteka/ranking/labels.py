"""Which runs of a document's words are keyphrases that it carries: what the scores of spans are learned from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from kartoteka.encoding.spans import LONGEST
from kartoteka.flow.stage import Step
from kartoteka.keyphrases.archive import Archive, ArchiveArrays
from kartoteka.keyphrases.hashing import hash_words
from kartoteka.keyphrases.matching import find_known
from kartoteka.storage import Storage
from kartoteka.text.words import stem_words, stop_words, tokenise

#: No phrase, carried, and a run of words that nobody would take for one.
WRONG, RIGHT, LEFT_OUT = 0, 1, -1


@dataclass
class LabelSpans(Step):
    """Adds `word_labels` to rows with `word_first` and `positives`: see `span_labels`; int8, words x `LONGEST`."""

    edition: str
    name = "label"

    def open(self) -> None:
        """Map the archive."""
        self.archive = Archive.open(Storage(self.edition).local("ranker/archive")).arrays

    def apply(self, rows: pa.Table) -> pa.Table:
        """Label the words of each row that are read."""
        columns = (rows[name].to_pylist() for name in ("title", "abstract", "lang"))
        read = rows["word_first"].combine_chunks().value_lengths().to_pylist()
        labels = [np.zeros(0, np.int8)]
        for title, abstract, lang, count, own in zip(*columns, read, rows["positives"], strict=True):
            fields = [tokenise(text) for text in (title, abstract)]
            labels.append(span_labels(fields, lang, count, self.archive, own.values.to_numpy()).ravel())
        offsets = np.cumsum([len(some) for some in labels])
        return rows.append_column("word_labels", pa.LargeListArray.from_arrays(offsets, np.concatenate(labels)))


def span_labels(
    fields: Sequence[list[str]], lang: str, read: int, archive: ArchiveArrays, own: np.ndarray
) -> np.ndarray:
    """int8 [`read`, `LONGEST`] of a document's first `read` words; row = first word, column = words less one.

    `fields`: the words of title and abstract; `own`: the archive's phrases that the document carries. `RIGHT`: the
    words are one of them, as `Pool.own` counts it. `WRONG`: no stop word stands first or last. `LEFT_OUT`: the others,
    and what reaches from title into abstract or beyond the words that are read.
    """
    stop = stop_words(lang)
    content = np.array([word not in stop for words in fields for word in words], bool)
    right = np.concatenate([_carried(hash_words(stem_words(words, lang)), archive, own) for words in fields])
    field = np.repeat(np.arange(len(fields)), [len(words) for words in fields])
    first = np.arange(read)[:, None]
    last = first + np.arange(LONGEST)
    inside = last < read
    last = np.minimum(last, max(read - 1, 0))
    inside &= field[first] == field[last]
    kept = np.where(content[first] & content[last], WRONG, LEFT_OUT)
    return np.where(inside, np.where(right[:read], RIGHT, kept), LEFT_OUT).astype(np.int8)


def _carried(words: np.ndarray, archive: ArchiveArrays, own: np.ndarray) -> np.ndarray:
    """Which runs of the hashed stems `words` are phrases in `own`, bool [words, LONGEST]."""
    found = np.empty((len(words) * LONGEST, 3), np.int32)
    count = find_known(words, 0, len(words), archive.form_keys, archive.form_values, LONGEST, found)
    phrases, start, size = found[:count].T
    carried = np.zeros((len(words), LONGEST), bool)
    carried[start, size - 1] = np.isin(phrases, own)
    return carried
