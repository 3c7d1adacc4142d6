"""Vectors beside the archive: of its annotated documents, of its phrases, and of what each phrase's documents share.

Kept as int8 with one scale per vector: a quarter of float32, memory-mapped, and a cosine off by less than 0.005.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numba import njit

from kartoteka.folders import mapped, new_array
from kartoteka.keyphrases.archive import Archive, ArchiveArrays
from kartoteka.keyphrases.pool import Asked, Pool
from kartoteka.vectors.codes import quantise

#: Columns of `dense_features`.
DENSE = ("cosine", "cosine_below_best", "centroid", "centroid_below_best", "coherence", "carrier_cosine")
#: The same of a trained ranker's vectors.
TRAINED = tuple(f"{name}_ranker" for name in DENSE)
COSINE, COSINE_BELOW_BEST, CENTROID, CENTROID_BELOW_BEST, COHERENCE, CARRIER_COSINE = range(len(DENSE))
_MISSING = -1.0


class VectorArrays(NamedTuple):
    """Unit vectors as `codes` int8 [., d] times `scale` float32: of A documents, P phrases, and of the sums over the
    documents of each phrase carried at least twice.

    `centroid_row` int32 [P]: row among the sums or -1; `centroid_norm` float32: length of a sum before it was scaled.
    """

    document_codes: np.ndarray
    document_scale: np.ndarray
    phrase_codes: np.ndarray
    phrase_scale: np.ndarray
    centroid_codes: np.ndarray
    centroid_scale: np.ndarray
    centroid_row: np.ndarray
    centroid_norm: np.ndarray


def open_vectors(folder: Path) -> VectorArrays | None:
    """Map what `write_vectors` wrote, or None where there are no vectors."""
    if not (folder / "centroid_row.npy").exists():
        return None
    return VectorArrays(*(mapped(folder / f"{name}.npy") for name in VectorArrays._fields))


def write_vectors(
    folder: Path, archive: Archive, dimension: int, documents: Iterable[np.ndarray], phrases: Iterable[np.ndarray]
) -> None:
    """Write the vectors of the annotated documents and of `archive.surfaces`, each in order, in blocks [n, d].

    Memory: the sums of phrases carried at least twice, float32 [., d], and one block. Raises `ValueError` when the
    blocks do not hold one vector for each.
    """
    row = np.where(archive.arrays.df >= 2, np.cumsum(archive.arrays.df >= 2) - 1, -1).astype(np.int32)
    sums = np.zeros((int((archive.arrays.df >= 2).sum()), dimension), np.float32)
    start = 0
    codes = new_array(folder, "document_codes", np.int8, archive.documents, dimension)
    scales = np.zeros(archive.documents, np.float32)
    for block in documents:
        stop = start + len(block)
        if stop > archive.documents:
            raise ValueError(f"vectors: more than the archive's {archive.documents} annotated documents")
        codes[start:stop], scales[start:stop] = quantise(block)
        bounds = archive.arrays.doc_offsets[start : stop + 1]
        own = archive.arrays.doc_phrases[bounds[0] : bounds[-1]]
        of = np.repeat(np.arange(len(block)), np.diff(bounds))
        counted = row[own] >= 0
        _add_rows(sums, row[own][counted], np.ascontiguousarray(block, np.float32), of[counted])
        start = stop
    if start != archive.documents:
        raise ValueError(f"vectors: {start} for the archive's {archive.documents} annotated documents")
    codes.flush()
    np.save(folder / "document_scale.npy", scales)
    norms = np.linalg.norm(sums, axis=1)
    centroid_codes, centroid_scale = quantise(sums / np.maximum(norms, 1e-12)[:, None])
    coded = [quantise(block) for block in phrases]
    phrase_codes = np.concatenate([np.zeros((0, dimension), np.int8), *(block for block, _ in coded)])
    if len(phrase_codes) != archive.phrases:
        raise ValueError(f"vectors: {len(phrase_codes)} for the archive's {archive.phrases} phrases")
    np.save(folder / "phrase_codes.npy", phrase_codes)
    np.save(folder / "phrase_scale.npy", np.concatenate([np.zeros(0, np.float32), *(scale for _, scale in coded)]))
    np.save(folder / "centroid_codes.npy", centroid_codes)
    np.save(folder / "centroid_scale.npy", centroid_scale)
    np.save(folder / "centroid_norm.npy", norms.astype(np.float32))
    np.save(folder / "centroid_row.npy", row)


@njit(cache=True)
def _add_rows(sums: np.ndarray, rows: np.ndarray, block: np.ndarray, of: np.ndarray) -> None:
    for i in range(rows.size):
        for j in range(block.shape[1]):
            sums[rows[i], j] += block[of[i], j]


def dense_features(
    archive: Archive, vectors: VectorArrays, pool: Pool, asked: Asked, queries: np.ndarray
) -> np.ndarray:
    """float32 [m, len(DENSE)] for unit query vectors float32 [n, d]; -1 where there is no vector to compare.

    The sum over a phrase's carriers leaves out those of which the document is to know nothing.
    """
    out = np.full((pool.phrase.size, len(DENSE)), _MISSING, np.float32)
    _dense(archive.arrays, vectors, pool, asked, np.ascontiguousarray(queries, np.float32), out)
    return out


@njit(cache=True, fastmath=True)
def _dot(codes: np.ndarray, query: np.ndarray) -> np.float32:
    total = np.float32(0)
    for j in range(query.size):
        total += np.float32(codes[j]) * query[j]
    return total


@njit(cache=True)
def _without(
    archive: ArchiveArrays, vectors: VectorArrays, asked: Asked, d: int, p: int, query: np.ndarray
) -> tuple[np.float32, np.float32]:
    """(inner product with `query`, length) of the sum of phrase p less the document's left-out carriers."""
    r = vectors.centroid_row[p]
    rest = vectors.centroid_codes[r].astype(np.float32) * (vectors.centroid_scale[r] * vectors.centroid_norm[r])
    for i in range(asked.left_offsets[d], asked.left_offsets[d + 1]):
        number = asked.left_out[i]
        for j in range(archive.doc_offsets[number], archive.doc_offsets[number + 1]):
            if archive.doc_phrases[j] == p:
                rest -= vectors.document_codes[number].astype(np.float32) * vectors.document_scale[number]
    along, square = np.float32(0), np.float32(0)
    for j in range(rest.size):
        along += rest[j] * query[j]
        square += rest[j] * rest[j]
    return along, np.sqrt(square)


@njit(cache=True)
def _dense(
    archive: ArchiveArrays, vectors: VectorArrays, pool: Pool, asked: Asked, queries: np.ndarray, out: np.ndarray
) -> None:
    for d in range(queries.shape[0]):
        query = queries[d]
        best, best_centroid = np.float32(-1), np.float32(-1)
        for c in range(pool.offsets[d], pool.offsets[d + 1]):
            p = pool.phrase[c]
            if p >= 0:
                out[c, COSINE] = _dot(vectors.phrase_codes[p], query) * vectors.phrase_scale[p]
                best = max(best, out[c, COSINE])
                count = archive.df[p] - pool.left_out[c]
                r = vectors.centroid_row[p]
                if count >= 2 and r >= 0:
                    norm = vectors.centroid_norm[r]
                    along = _dot(vectors.centroid_codes[r], query) * vectors.centroid_scale[r] * norm
                    if pool.left_out[c] > 0:
                        along, norm = _without(archive, vectors, asked, d, p, query)
                    out[c, CENTROID] = along / max(norm, np.float32(1e-3))
                    out[c, COHERENCE] = norm / count
                    best_centroid = max(best_centroid, out[c, CENTROID])
            for r in range(asked.numbers.shape[1]):
                for i in range(2):
                    number = pool.carriers[c, r, i]
                    if number >= 0:
                        cosine = _dot(vectors.document_codes[number], query) * vectors.document_scale[number]
                        out[c, CARRIER_COSINE] = max(out[c, CARRIER_COSINE], cosine)
        for c in range(pool.offsets[d], pool.offsets[d + 1]):
            if pool.phrase[c] >= 0:
                out[c, COSINE_BELOW_BEST] = out[c, COSINE] - best
                if out[c, CENTROID] > _MISSING:
                    out[c, CENTROID_BELOW_BEST] = out[c, CENTROID] - best_centroid
