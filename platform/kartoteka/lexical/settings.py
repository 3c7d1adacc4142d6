"""What can be set of the lexical index."""

from __future__ import annotations

from pydantic import Field

from kartoteka.settings import Settings


class LexicalSettings(Settings):
    """BM25's parameters (Robertson & Zaragoza 2009, 3.1) and how a shard is laid out and asked.

    `max_query_terms`: ask only the so many most informative (highest idf) distinct terms of a query; `None` is exact.
    `dense_share`: a term found in at least this share of a shard's documents has a dense row of quantised scores, one
    byte a document: faster, larger.
    """

    k1: float = Field(1.5, ge=0)
    b: float = Field(0.75, ge=0, le=1)
    max_query_terms: int | None = Field(None, ge=1)
    dense_share: float = Field(1 / 48, gt=0, le=1)
