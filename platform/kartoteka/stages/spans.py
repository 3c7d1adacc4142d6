"""Spans: the steps that give documents the scores of their spans beside their vectors, and the column that holds them.

As in `stages.embed`: with a GPU, tokenising is a step of its own on the CPUs.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa

from kartoteka.encoding.spans import LONGEST, Spans, WordPlaces, read_head, span_scores
from kartoteka.flow.stage import Step
from kartoteka.ragged import lists_of, with_lists
from kartoteka.stages.embed import Encode, Encoding, Tokenise, texts_of, tokens_of

_COLUMNS = ("tokens", "first", "last")


@dataclass
class TokeniseWords(Tokenise):
    """Adds `tokens`, and where the words lie among them: `first` and `last`, lists of places."""

    def apply(self, rows: pa.Table) -> pa.Table:
        """Tokenise title and abstract."""
        tokens, places = self.encoder.tokenise_words(texts_of(rows, self.separator), self.separator)
        rows = with_lists(rows, {"tokens": tokens.ids}, tokens.offsets)
        return with_lists(rows, {"first": places.first, "last": places.last}, places.offsets)


@dataclass
class EncodeSpans(Encode):
    """Adds `vector` and `precision` as `Encode` does, and `spans`: float16 scores by the head in the file `head`."""

    head: Path = field(kw_only=True)

    def open(self) -> None:
        """Load the weights onto this worker's device, and the head."""
        super().open()
        self.scorer = read_head(self.head, self.encoder.width)

    def apply(self, rows: pa.Table) -> pa.Table:
        """Encode all rows."""
        if "tokens" in rows.column_names:
            tokens = tokens_of(rows["tokens"])
            (first, offsets), (last, _) = lists_of(rows["first"]), lists_of(rows["last"])
            places = WordPlaces(first, last, offsets)
            rows = rows.drop_columns(list(_COLUMNS))
        else:
            tokens, places = self.encoder.tokenise_words(texts_of(rows, self.separator), self.separator)
        vectors, products = self.encoder.project(tokens, self.scorer.projection)
        spans = span_scores(products, self.scorer.bias, tokens.offsets, places)
        return self.with_vectors(rows, vectors).append_column("spans", spans_array(spans))


def span_steps(encoding: Encoding, separator: str, head: Path, gpus: float) -> list[Step]:
    """Documents to vectors and span scores; with a GPU, tokenising is a step of its own."""
    encode = EncodeSpans(encoding, separator, gpus, head=head)
    return [TokeniseWords(encoding, separator), encode] if gpus else [encode]


def spans_array(spans: Spans) -> pa.LargeListArray:
    """The scores of each document, word by word, as an edition is made from them: float16."""
    flat = pa.array(spans.scores.astype(np.float16).reshape(-1))
    return pa.LargeListArray.from_arrays(pa.array(spans.offsets * LONGEST), flat)


def spans_of(column: pa.ChunkedArray) -> Spans:
    """What `spans_array` made; a null, which a refused document has, is a document without words."""
    values, offsets = lists_of(column)
    return Spans(values.reshape(-1, LONGEST), offsets // LONGEST)
