"""The lexical index of an edition: shards asked as one."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from kartoteka.allowed import Allowed
from kartoteka.folders import open_shards
from kartoteka.lexical.kernels import BLOCK, STRETCH, candidates, count_matches, score_all, score_candidates
from kartoteka.lexical.settings import LexicalSettings
from kartoteka.lexical.shard import KIND, Shard
from kartoteka.lexical.terms import Tokens, encode_tokens
from kartoteka.telemetry import span

BATCH = 128  # queries that pass over a block of documents together
STEPS = 65535  # what a 16-bit accumulator holds
ALONE = 1 / 100  # up to this share, documents are scored one by one: as fast as bounding all of them at this very share
_EVERY = np.zeros(0, np.bool_)


class ShardedIndex:
    """Shards of one corpus; document numbers run through the shards in order.

    `search` releases the interpreter lock while it scores and keeps no state: threads may share an index.
    """

    def __init__(self, shards: Sequence[Shard], settings: LexicalSettings | None = None) -> None:
        self.shards = tuple(shards)
        self.settings = settings or LexicalSettings()
        self.bases = np.cumsum([0, *(shard.documents for shard in self.shards)])

    @classmethod
    def open(
        cls, source: str | os.PathLike[str] | Sequence[str | os.PathLike[str]], settings: LexicalSettings | None = None
    ) -> ShardedIndex:
        """Map the shards of a directory (its subfolders by name), or the given shard folders in their order.

        Raises `ValueError`: no shard, a missing or torn file (named), or shards that are not those of one whole corpus.
        """
        other = "was scored with the statistics of another corpus"
        shards = open_shards(source, KIND, Shard.open, lambda shard: shard.corpus, other)
        index = cls(shards, settings)
        if index.documents != shards[0].corpus["documents"]:
            whole = shards[0].corpus["documents"]
            raise ValueError(f"{KIND}: the shards of {source} hold {index.documents} documents of {whole}")
        return index

    @property
    def documents(self) -> int:
        """How many documents all shards hold."""
        return int(self.bases[-1])

    def search(
        self,
        queries: Sequence[Sequence[str]] | pa.Array | pa.ChunkedArray,
        k: int,
        exclude: np.ndarray | None = None,
        allowed: np.ndarray | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """The k documents of the highest score for each query (a list of stems; a repeated stem counts each time).

        `exclude`: int64 [queries], a document never returned for that query, -1 for none. `allowed`: only these are
        returned; a bool mask [documents] or ascending numbers. Returns numbers int64
        [queries, k] and scores float32 [queries, k] by score, equal scores by number; -1 and 0 where no further
        document shares a term with the query. Raises `ValueError` naming a wrong argument.
        """
        if k < 1:
            raise ValueError(f"k: {k} is not at least 1")
        tokens = encode_tokens(queries)
        exclude = np.full(len(tokens), -1, np.int64) if exclude is None else np.asarray(exclude, np.int64)
        if exclude.shape != (len(tokens),):
            raise ValueError(f"exclude: shape {exclude.shape} for {len(tokens)} queries")
        kept = Allowed.of(allowed, self.documents)
        found = [shard.terms.find(tokens.vocabulary) for shard in self.shards]
        codes, offsets = _select(tokens, self._idf(found, len(tokens.vocabulary)), self.settings.max_query_terms)
        numbers = np.full((len(tokens), k), -1, np.int64)
        scores = np.zeros((len(tokens), k), np.float32)
        filled = np.zeros(len(tokens), np.int64)
        longest = max(shard.documents for shard in self.shards)
        sums = np.empty((min(BATCH, len(tokens)), min(STRETCH, -(-longest // BLOCK) * BLOCK)), np.uint16)
        for s, (shard, base, terms) in enumerate(zip(self.shards, self.bases, found, strict=False)):
            local, starts = _drop_unknown(terms[codes], offsets)
            rows, mask = _cut_filter(kept, int(base), shard.documents)
            with span("lexical shard", {"shard": s}):
                for first in range(0, len(tokens), BATCH):
                    last = min(first + BATCH, len(tokens))
                    these = slice(first, last)
                    _search_shard(
                        shard,
                        int(base),
                        local[starts[first] : starts[last]],
                        starts[first : last + 1] - starts[first],
                        exclude[these] - base,
                        rows,
                        mask,
                        numbers[these],
                        scores[these],
                        filled[these],
                        sums,
                    )
        return numbers, scores

    def count(self, query: Sequence[str], allowed: np.ndarray | None = None) -> int:
        """How many of the `allowed` documents share a term with `query` (a list of stems) that `search` asks for."""
        tokens = encode_tokens([query])
        kept = Allowed.of(allowed, self.documents)
        found = [shard.terms.find(tokens.vocabulary) for shard in self.shards]
        codes, _ = _select(tokens, self._idf(found, len(tokens.vocabulary)), self.settings.max_query_terms)
        asked = np.unique(codes)
        total = 0
        for shard, base, here in zip(self.shards, self.bases, found, strict=False):
            terms = here[asked]
            mask = _EVERY if kept is None else kept.mask_of(int(base), int(base) + shard.documents)
            seen = np.zeros(shard.documents, np.bool_)
            total += count_matches(terms[terms >= 0], mask, shard.indptr, shard.indices, seen)
        return total

    def idf(self, stems: Sequence[str]) -> np.ndarray:
        """How much each of `stems` tells of a document, float32 [stems]; 0 for what no document holds."""
        tokens = encode_tokens([stems])
        found = [shard.terms.find(tokens.vocabulary) for shard in self.shards]
        return self._idf(found, len(tokens.vocabulary))[tokens.codes]

    def _idf(self, found: list[np.ndarray], size: int) -> np.ndarray:
        idf = np.zeros(size, np.float32)
        for shard, terms in zip(self.shards, found, strict=True):
            here = terms >= 0
            idf[here] = shard.idf[terms[here]]
        return idf


def _select(tokens: Tokens, idf: np.ndarray, most: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Tokens of known terms, of the `most` distinct ones of highest idf of each query (ties: the term in order)."""
    keep = idf[tokens.codes] > 0
    query = np.repeat(np.arange(len(tokens)), tokens.lengths)
    if most is not None and keep.any():
        pairs, inverse = np.unique(query[keep] * len(idf) + tokens.codes[keep], return_inverse=True)
        owner, term = np.divmod(pairs, len(idf))
        order = np.lexsort((term, -idf[term], owner))
        rank = np.empty(len(pairs), np.int64)
        rank[order] = np.arange(len(pairs)) - np.searchsorted(owner, owner)
        keep[keep] = rank[inverse] < most
    return _cut(tokens.codes, query, keep, len(tokens))


def _drop_unknown(local: np.ndarray, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    query = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    return _cut(local, query, local >= 0, len(offsets) - 1)


def _cut(codes: np.ndarray, query: np.ndarray, keep: np.ndarray, queries: int) -> tuple[np.ndarray, np.ndarray]:
    offsets = np.zeros(queries + 1, np.int64)
    np.cumsum(np.bincount(query[keep], minlength=queries), out=offsets[1:])
    return codes[keep], offsets


def _cut_filter(kept: Allowed | None, base: int, documents: int) -> tuple[np.ndarray | None, np.ndarray]:
    """What is left of a shard: int32 rows to score one by one, or None and a mask (empty: everything)."""
    if kept is None:
        return None, _EVERY
    if kept.share <= ALONE:
        return kept.rows(base, base + documents).astype(np.int32), _EVERY
    return None, kept.mask_of(base, base + documents)


def _search_shard(
    shard: Shard,
    base: int,
    tokens: np.ndarray,
    starts: np.ndarray,
    exclude: np.ndarray,
    rows: np.ndarray | None,
    mask: np.ndarray,
    numbers: np.ndarray,
    scores: np.ndarray,
    filled: np.ndarray,
    sums: np.ndarray,
) -> None:
    """Merge the best of one shard, of its `rows` or under its `mask`, into `numbers` and `scores` [queries, k]."""
    queries, k = numbers.shape
    postings = (shard.indptr, shard.indices, shard.data)
    forward = (len(shard.idf), shard.forward, shard.forward_terms, shard.forward_scores)
    if rows is not None:
        every, count = np.broadcast_to(rows, (queries, len(rows))), np.full(queries, len(rows))
        score_candidates(tokens, starts, exclude, every, count, *forward, base, numbers, scores, filled)
        return
    capacity = min(4 * k + 1024, shard.documents + 1)
    bounds = np.empty((len(starts) - 1, capacity), np.int32)
    found = np.empty((len(starts) - 1, capacity), np.int32)
    most = np.zeros(len(tokens) + 1, np.int64)
    np.cumsum(shard.idf[tokens] / shard.step + 2, out=most[1:])
    fits = (most[starts[1:]] - most[starts[:-1]]) <= STEPS
    count = candidates(
        tokens,
        starts,
        exclude,
        mask,
        fits,
        scores,
        *postings,
        shard.row_of,
        shard.dense,
        shard.step,
        shard.documents,
        sums[: len(starts) - 1],
        bounds,
        found,
    )
    score_candidates(tokens, starts, exclude, found, count, *forward, base, numbers, scores, filled)
    for q in np.flatnonzero(count < 0):
        asked = tokens[starts[q] : starts[q + 1]]
        filled[q] = score_all(
            asked, exclude[q], mask, *postings, shard.documents, base, numbers[q], scores[q], filled[q]
        )
