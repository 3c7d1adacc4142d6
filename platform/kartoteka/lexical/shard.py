"""One shard of the lexical index: its documents scored with the whole corpus's statistics, on disk.

The scores lie in bm25s's own files, so that `bm25s.BM25.load(folder, mmap=True)` opens a shard. Beside them: its
vocabulary as flat bytes, each document's own terms and scores, and dense rows for the terms of many documents;
`kernels` says what each is for.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numba
import numpy as np
import orjson
import pyarrow as pa

from kartoteka.folders import describe, description, mapped, whole_folder
from kartoteka.lexical.settings import LexicalSettings
from kartoteka.lexical.statistics import CorpusStatistics
from kartoteka.lexical.terms import Terms, Tokens, encode_tokens

KIND = "lexical"
BM25S_VERSION = "0.3.0"


@dataclass(frozen=True, slots=True)
class Shard:
    """A shard's arrays, memory-mapped. D documents, V terms, P postings, R dense rows.

    Postings by term: `indptr` int64 [V + 1], `indices` int32 [P] documents, `data` float32 [P] scores. By document:
    `forward` int64 [D + 1], `forward_terms` int32 [P], `forward_scores` float32 [P]. `idf` float32 [V]; `row_of` int32
    [V], -1 for none; `dense` uint8 [R, D up to a multiple of 64], in units of `step`, rounded up.
    """

    documents: int
    corpus: dict[str, int | float]
    step: float
    terms: Terms
    idf: np.ndarray
    indptr: np.ndarray
    indices: np.ndarray
    data: np.ndarray
    forward: np.ndarray
    forward_terms: np.ndarray
    forward_scores: np.ndarray
    row_of: np.ndarray
    dense: np.ndarray

    @classmethod
    def open(cls, folder: str | os.PathLike[str]) -> Shard:
        """Map a shard. Raises `ValueError` naming the file that is missing or torn."""
        values = description(folder, KIND)
        arrays = {}
        for name in ("indptr.csc.index", "indices.csc.index", "data.csc.index", *_EXTRA):
            path = Path(folder) / f"{name}.npy"
            try:
                arrays[name.split(".")[0]] = mapped(path)
            except (ValueError, EOFError, OSError) as error:
                raise ValueError(f"{KIND}: cannot read {path}: {error}") from None
        terms = Terms(arrays.pop("term_offsets"), arrays.pop("term_bytes"))
        return cls(values["documents"], values["corpus"], values["step"], terms, **arrays)


_EXTRA = (
    "term_offsets",
    "term_bytes",
    "idf",
    "forward",
    "forward_terms",
    "forward_scores",
    "row_of",
    "dense",
)


def build_shard(
    documents: Sequence[Sequence[str]] | pa.Array | pa.ChunkedArray | Tokens,
    statistics: CorpusStatistics,
    folder: str | os.PathLike[str],
    settings: LexicalSettings | None = None,
) -> None:
    """Write the shard of `documents` (the stems of each) into `folder`, whole or not at all; equal input, equal bytes.

    Raises `ValueError` when `statistics` do not count a term of the documents.
    """
    settings = settings or LexicalSettings()
    tokens = documents if isinstance(documents, Tokens) else encode_tokens(documents)
    idf = statistics.idf(tokens.vocabulary)
    if (idf == 0).any():
        term = tokens.vocabulary.to_arrow()[int(np.argmin(idf))].as_py()
        raise ValueError(f"statistics: the corpus does not count {term!r}, which a document of this shard holds")
    with np.errstate(invalid="ignore"):  # no token at all: there is no average, and nothing to score
        norms = settings.k1 * ((1 - settings.b) + settings.b * tokens.lengths / np.float64(statistics.average_length))
    indptr, indices, data = _postings(tokens.offsets, tokens.codes, idf, norms)
    forward, forward_terms, forward_scores = _transpose(indptr, indices, data, len(tokens))
    row_of, dense, step = _dense_rows(indptr, indices, data, len(tokens), settings.dense_share)
    with whole_folder(folder) as beside:
        arrays = {
            "data.csc.index": data,
            "indices.csc.index": indices,
            "indptr.csc.index": indptr,
            "term_offsets": tokens.vocabulary.offsets,
            "term_bytes": tokens.vocabulary.data,
            "idf": idf,
            "forward": forward,
            "forward_terms": forward_terms,
            "forward_scores": forward_scores,
            "row_of": row_of,
            "dense": dense,
        }
        for name, array in arrays.items():
            np.save(beside / f"{name}.npy", array, allow_pickle=False)
        vocabulary = dict(zip(tokens.vocabulary.to_arrow().to_pylist(), range(len(tokens.vocabulary)), strict=True))
        (beside / "vocab.index.json").write_bytes(orjson.dumps(vocabulary))
        parameters = {
            "k1": settings.k1,
            "b": settings.b,
            "delta": 0.5,
            "method": "lucene",
            "idf_method": "lucene",
            "dtype": "float32",
            "int_dtype": "int32",
            "num_docs": len(tokens),
            "version": BM25S_VERSION,
            "backend": "numpy",
        }
        (beside / "params.index.json").write_bytes(orjson.dumps(parameters, option=orjson.OPT_INDENT_2))
        corpus = {
            "documents": statistics.documents,
            "length": statistics.length,
            "terms": len(statistics.terms),
            "k1": settings.k1,
            "b": settings.b,
        }
        describe(beside, KIND, {"documents": len(tokens), "corpus": corpus, "step": step})


@numba.njit(cache=True, nogil=True)
def _postings(
    offsets: np.ndarray, codes: np.ndarray, idf: np.ndarray, norms: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Postings by term, documents ascending, with bm25s's arithmetic: float64 until the score is stored."""
    size = len(idf)
    starts = np.zeros(size + 1, np.int64)
    for code in codes:
        starts[code + 1] += 1
    for term in range(size):
        starts[term + 1] += starts[term]
    heads = starts[:-1].copy()
    indices = np.empty(len(codes), np.int32)
    times = np.zeros(len(codes), np.int32)
    for document in range(len(offsets) - 1):
        for p in range(offsets[document], offsets[document + 1]):
            term = codes[p]
            head = heads[term]
            if head > starts[term] and indices[head - 1] == document:
                times[head - 1] += 1
            else:
                indices[head] = document
                times[head] = 1
                heads[term] = head + 1
    indptr = np.zeros(size + 1, np.int64)
    out = 0
    data = np.empty(len(codes), np.float32)
    for term in range(size):
        for p in range(starts[term], heads[term]):
            frequency = np.float64(times[p])
            data[out] = np.float64(idf[term]) * (frequency / (norms[indices[p]] + frequency))
            indices[out] = indices[p]
            out += 1
        indptr[term + 1] = out
    return indptr, indices[:out].copy(), data[:out].copy()


@numba.njit(cache=True, nogil=True)
def _transpose(
    indptr: np.ndarray, indices: np.ndarray, data: np.ndarray, documents: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The same postings by document, terms ascending."""
    forward = np.zeros(documents + 1, np.int64)
    for document in indices:
        forward[document + 1] += 1
    for document in range(documents):
        forward[document + 1] += forward[document]
    heads = forward[:-1].copy()
    terms = np.empty(len(indices), np.int32)
    scores = np.empty(len(indices), np.float32)
    for term in range(len(indptr) - 1):
        for p in range(indptr[term], indptr[term + 1]):
            head = heads[indices[p]]
            terms[head] = term
            scores[head] = data[p]
            heads[indices[p]] = head + 1
    return forward, terms, scores


def _dense_rows(
    indptr: np.ndarray, indices: np.ndarray, data: np.ndarray, documents: int, share: float
) -> tuple[np.ndarray, np.ndarray, float]:
    """Which row each term has (-1: none), the rows, and the step of their bytes."""
    frequent = np.flatnonzero(np.diff(indptr) >= max(share * documents, 1))
    row_of = np.full(len(indptr) - 1, -1, np.int32)
    row_of[frequent] = np.arange(len(frequent), dtype=np.int32)
    width = -(-documents // 64) * 64
    top = max((float(data[indptr[t] : indptr[t + 1]].max()) for t in frequent), default=3.5)
    step = float(np.float32(top / 254))  # one byte: 1 + floor(score / step) is at most 255
    dense = np.zeros((len(frequent), width), np.uint8)
    inverse = np.float32(1) / np.float32(step)
    for row, term in enumerate(frequent):
        postings = slice(indptr[term], indptr[term + 1])
        dense[row, indices[postings]] = np.minimum((data[postings] * inverse).astype(np.int32) + 1, 255)
    return row_of, dense, step
