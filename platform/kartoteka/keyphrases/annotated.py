"""What one part of the archive says about keyphrases: its annotated documents, stemmed and hashed.

`annotate` runs per part; `kartoteka.keyphrases.archive.merge` reads the tables of all parts, twice, one at a time.
"""

from __future__ import annotations

import pyarrow as pa

from kartoteka.keyphrases.words import DocumentWords, Rows, document_words
from kartoteka.ragged import lists_of

#: One row per annotated document, in edition order; words are hashes of stems.
ANNOTATED_SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("lang", pa.string(), nullable=False),
        pa.field("title", pa.large_list(pa.uint64()), nullable=False),
        pa.field("abstract", pa.large_list(pa.uint64()), nullable=False),
        pa.field("keyphrases", pa.list_(pa.string()), nullable=False),
    ]
)


def is_annotated(keyphrases: list[str]) -> bool:
    """Whether a document counts among the annotated ones, which are numbered in edition order."""
    return any(phrase.strip() for phrase in keyphrases)


def annotate(documents: pa.Table) -> pa.Table:
    """The annotated rows of `documents` (id, lang, title, abstract, keyphrases) as an `ANNOTATED_SCHEMA` table."""
    keep = [is_annotated(phrases) for phrases in documents["keyphrases"].to_pylist()]
    chosen = documents.filter(pa.array(keep, pa.bool_()))
    words = document_words(*(chosen[name].to_pylist() for name in ("title", "abstract", "lang")))
    return pa.table(
        [
            chosen["id"].combine_chunks(),
            chosen["lang"].combine_chunks(),
            _list_array(words.title),
            _list_array(words.abstract),
            chosen["keyphrases"].combine_chunks().cast(pa.list_(pa.string())),
        ],
        schema=ANNOTATED_SCHEMA,
    )


def words_of(table: pa.Table) -> DocumentWords:
    """The words of an `ANNOTATED_SCHEMA` table."""
    title, abstract = (Rows(*lists_of(table[name])) for name in ("title", "abstract"))
    return DocumentWords(title, abstract, table["lang"].to_pylist())


def _list_array(rows: Rows) -> pa.Array:
    return pa.LargeListArray.from_arrays(pa.array(rows.offsets), pa.array(rows.words))
