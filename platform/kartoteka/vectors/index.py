"""The vector index of an edition: shards asked as one, with filters."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from weakref import WeakKeyDictionary

import faiss
import numpy as np
import pyarrow as pa
from threadpoolctl import ThreadpoolController

from kartoteka.allowed import Allowed
from kartoteka.folders import open_shards
from kartoteka.telemetry import span
from kartoteka.vectors.choose import KIND, check
from kartoteka.vectors.codes import FEW, nearest_by_codes
from kartoteka.vectors.exact import compare, nearest
from kartoteka.vectors.probes import Left, left_of, lists_to_read
from kartoteka.vectors.settings import VectorSettings
from kartoteka.vectors.shard import Shard

_TOGETHER = 1024  # queries that are probed for at once
_BLAS = ThreadpoolController()  # numpy's: it would take every core otherwise


class ShardedVectors:
    """Shards of one quantiser; document numbers run through the shards in order."""

    def __init__(self, shards: Sequence[Shard], settings: VectorSettings | None = None) -> None:
        self.shards = tuple(shards)
        self.settings = settings or VectorSettings()
        self.bases = np.cumsum([0, *(len(shard) for shard in self.shards)])
        self.dimension: int = self.shards[0].quantiser["dimension"]
        self.exact = self.shards[0].lists is None
        self._left: WeakKeyDictionary[Allowed, Left] = WeakKeyDictionary()

    @classmethod
    def open(
        cls, source: str | os.PathLike[str] | Sequence[str | os.PathLike[str]], settings: VectorSettings | None = None
    ) -> ShardedVectors:
        """Map the shards of a directory (its subfolders by name), or the given shard folders in their order.

        Raises `ValueError`: no shard, a missing or torn file (named), or shards of different quantisers.
        """
        other = "was written with another quantiser"
        return cls(open_shards(source, KIND, Shard.open, lambda shard: shard.quantiser, other), settings)

    @property
    def documents(self) -> int:
        """How many vectors all shards hold."""
        return int(self.bases[-1])

    @property
    def ids(self) -> pa.ChunkedArray:
        """The document id of every number, memory-mapped."""
        return pa.chunked_array([chunk for shard in self.shards for chunk in shard.ids.chunks], pa.large_string())

    def vectors_of(self, numbers: np.ndarray) -> np.ndarray:
        """The vectors of these documents as they are kept, float32 [n, d]."""
        shards = np.searchsorted(self.bases, numbers, side="right") - 1
        found = np.empty((len(numbers), self.dimension), np.float32)
        for s in np.unique(shards):
            found[shards == s] = self.shards[s].vectors[numbers[shards == s] - self.bases[s]]
        return found

    def search(
        self,
        queries: np.ndarray,
        k: int,
        exclude: np.ndarray | None = None,
        allowed: np.ndarray | Allowed | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """The k documents of the largest inner product with each query, float32 [q, d].

        `exclude`: int64 [q], a number never returned for that query, -1 for none. `allowed`: only these are returned;
        a bool mask [documents], ascending numbers, or one `Allowed` for many searches. Returns numbers int64 [q, k] and
        scores float32 [q, k] by score, equal scores by number; -1 and 0 where there are no more. Raises `ValueError`
        naming a wrong argument.
        """
        if k < 1:
            raise ValueError(f"k: {k} is not at least 1")
        queries = np.ascontiguousarray(check(queries, self.dimension, "queries"), np.float32)
        exclude = np.full(len(queries), -1, np.int64) if exclude is None else np.asarray(exclude, np.int64)
        if exclude.shape != (len(queries),):
            raise ValueError(f"exclude: shape {exclude.shape} for {len(queries)} queries")
        kept = Allowed.of(allowed, self.documents)
        best = np.full((len(queries), k), -1, np.int64)
        scores = np.zeros((len(queries), k), np.float32)
        filled = np.zeros(len(queries), np.int64)
        if self.exact or (kept is not None and self._is_narrow(kept)):
            self._scan(queries, exclude, kept, best, scores, filled)
        else:
            for low in range(0, len(queries), _TOGETHER):
                these = slice(low, low + _TOGETHER)
                self._probe(queries[these], exclude[these], kept, best[these], scores[these], filled[these])
        return best, scores

    def _is_narrow(self, kept: Allowed) -> bool:
        return kept.share <= self.settings.scan_below or kept.count <= self.settings.exact_below

    def _part(self, shard: int, numbers: np.ndarray) -> np.ndarray:
        """Those of the ascending `numbers` that lie in a shard, as rows of it."""
        low, high = np.searchsorted(numbers, self.bases[shard : shard + 2])
        return numbers[low:high] - self.bases[shard]

    def _scan(
        self,
        queries: np.ndarray,
        exclude: np.ndarray,
        kept: Allowed | None,
        best: np.ndarray,
        scores: np.ndarray,
        filled: np.ndarray,
    ) -> None:
        """Compare everything, or everything that is allowed."""
        for s, shard in enumerate(self.shards):
            base, end = self.bases[s : s + 2]
            rows = np.arange(len(shard)) if kept is None else kept.rows(base, end)
            lists = (rows, base, shard.norm, exclude, best, scores, filled)
            with span("vector shard", {"shard": s}):
                if len(queries) <= FEW:
                    nearest_by_codes(queries, shard.vectors, shard.codes, *lists)
                    continue
                _BLAS.limit(limits=self.settings.threads, user_api="blas")  # for good: searches overlap
                nearest(queries, shard.vectors, *lists)

    def _probe(
        self,
        queries: np.ndarray,
        exclude: np.ndarray,
        kept: Allowed | None,
        best: np.ndarray,
        scores: np.ndarray,
        filled: np.ndarray,
    ) -> None:
        """Read the inverted lists of all shards, then compare the best of their union with the vectors themselves."""
        faiss.omp_set_num_threads(self.settings.threads)
        wide = best.shape[1] * self.settings.refine + 1
        found = list(self._read(queries, wide) if kept is None else self._read_allowed(queries, wide, kept))
        union, bound = (np.concatenate(parts, axis=1) for parts in zip(*found, strict=True))
        union = np.where(union == exclude[:, None], -1, union)
        order = np.lexsort((union, -bound, union < 0), axis=1)[:, : wide - 1]
        union = np.sort(np.take_along_axis(union, order, axis=1), axis=1)
        for s, shard in enumerate(self.shards):
            rows = [self._part(s, row) for row in union]
            compare(queries, shard.vectors, rows, self.bases[s], best, scores, filled)

    def _read(self, queries: np.ndarray, wide: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Of each shard, the `wide` best numbers of each query, -1 where there are no more, and what the codes say."""
        parameters = faiss.SearchParametersIVF(nprobe=self.shards[0].quantiser["probes"])
        for s, (shard, base) in enumerate(zip(self.shards, self.bases, strict=False)):
            with span("vector shard", {"shard": s}):
                near, rows = shard.lists.search(queries, wide, params=parameters)
            yield np.where(rows >= 0, rows + base, -1), near

    def _read_allowed(self, queries: np.ndarray, wide: int, kept: Allowed) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """The same of what is allowed, from as many lists as that takes."""
        left = self._left.get(kept)
        if left is None:
            left = self._left[kept] = left_of(self.shards, kept)
        distances, lists = lists_to_read(queries, self.shards, kept, left.counts)
        at = faiss.swig_ptr
        for s, (shard, base) in enumerate(zip(self.shards, self.bases, strict=False)):
            near, rows = np.empty((len(queries), wide), np.float32), np.empty((len(queries), wide), np.int64)
            parameters = faiss.SearchParametersIVF(nprobe=lists.shape[1], sel=faiss.IDSelectorBitmap(left.bits[s]))
            with span("vector shard", {"shard": s}):
                shard.lists.search_preassigned_c(
                    len(queries), at(queries), wide, at(lists), at(distances), at(near), at(rows), False, parameters
                )
            yield np.where(rows >= 0, rows + base, -1), near
