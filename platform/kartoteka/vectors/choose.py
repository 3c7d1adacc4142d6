"""How the vectors are to be held, and what all shards must share for that: centroids, code ranges, and probes."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from kartoteka.folders import describe, description, whole_folder
from kartoteka.vectors.exact import nearest
from kartoteka.vectors.settings import VectorSettings

KIND = "vectors"
NEIGHBOURS = 10  # the recall that `probes` are chosen for is that of the 10 nearest


@dataclass(frozen=True, slots=True)
class Quantiser:
    """What training fixed: `index` is FAISS's own empty trained index, serialised; no bytes for exact search.

    `recall` is what `probes` lists reached on the training sample (1 for exact search).
    """

    dimension: int
    lists: int
    probes: int
    recall: float
    index: bytes

    @property
    def exact(self) -> bool:
        """Whether every vector is compared."""
        return not self.index

    def empty(self) -> faiss.IndexIVF:
        """A new empty index with the trained centroids."""
        return faiss.deserialize_index(np.frombuffer(self.index, np.uint8))

    def as_dict(self) -> dict[str, Any]:
        """All but the index."""
        return {name: getattr(self, name) for name in ("dimension", "lists", "probes", "recall")}

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write the quantiser as a folder, whole or not at all."""
        with whole_folder(folder) as beside:
            (beside / "trained.faiss").write_bytes(self.index)
            describe(beside, KIND, self.as_dict())

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Quantiser:
        """Read what `save` wrote. Raises `ValueError` naming the file that is missing or torn."""
        values = description(folder, KIND)
        index = (Path(folder) / "trained.faiss").read_bytes()
        return cls(values["dimension"], values["lists"], values["probes"], values["recall"], index)


def check(vectors: np.ndarray, dimension: int | None = None, name: str = "vectors") -> np.ndarray:
    """`vectors` as a matrix of float16 or float32.

    Raises `ValueError` naming what is wrong: not [n, d], another dimension, a value that is not finite (and its row).
    """
    vectors = np.asarray(vectors)
    if vectors.dtype not in (np.float16, np.float32):
        vectors = vectors.astype(np.float32)
    if vectors.ndim != 2 or vectors.shape[1] == 0:
        raise ValueError(f"{name}: shape {vectors.shape} is not [rows, dimension]")
    if dimension is not None and vectors.shape[1] != dimension:
        raise ValueError(f"{name}: dimension {vectors.shape[1]} for an index of dimension {dimension}")
    finite = np.isfinite(vectors).all(axis=1)
    if not finite.all():
        raise ValueError(f"{name}: row {int(np.argmin(finite))} holds a value that is not finite")
    return vectors


def lists_for(count: int) -> int:
    """About 4 sqrt(n) lists, a power of two between 16 and 65,536 (FAISS's guidelines), of at least 39 vectors."""
    wanted = 2 ** round(math.log2(4 * math.sqrt(max(count, 1))))
    return max(1, min(max(16, min(wanted, 65536)), count // 39))


def sample_size(count: int, settings: VectorSettings) -> int:
    """How many vectors to draw for `train`, of `count`; 0 where search will be exact."""
    if count <= settings.exact_below:
        return 0
    return min(count, (settings.lists or lists_for(count)) * settings.points)


def train(sample: np.ndarray, count: int, settings: VectorSettings | None = None) -> Quantiser:
    """Choose and train for `count` vectors from a `sample` of them (see `sample_size`), [m, d] of unit length.

    The sample's order is part of the result, and so is nothing else: equal input gives an equal quantiser. Raises
    `ValueError` for a sample that is empty where one is needed, or not finite.
    """
    settings = settings or VectorSettings()
    sample = check(sample, name="sample").astype(np.float32)
    dimension = sample.shape[1]
    if count <= settings.exact_below:
        return Quantiser(dimension, 0, 0, 1.0, b"")
    if not len(sample):
        raise ValueError("sample: no vector to train with")
    faiss.omp_set_num_threads(settings.threads)
    lists = min(settings.lists or lists_for(count), len(sample))
    codes = {"sq8": "SQ8", "flat": "Flat"}[settings.codes]
    index = faiss.index_factory(dimension, f"IVF{lists},{codes}", faiss.METRIC_INNER_PRODUCT)
    index.cp.seed = settings.seed
    index.cp.min_points_per_centroid = 1  # a sample of one vector a list is poor but no fault
    index.cp.max_points_per_centroid = max(settings.points, 1)
    index.train(sample)
    trained = faiss.serialize_index(index).tobytes()
    probes, recall = _probes(index, sample, settings)
    return Quantiser(dimension, lists, probes, recall, trained)


def _probes(index: faiss.IndexIVF, sample: np.ndarray, settings: VectorSettings) -> tuple[int, float]:
    """The fewest lists (by doubling) that find `recall` of the nearest of the sample, and the share they find."""
    index.add(sample)
    rows = np.random.default_rng(settings.seed).choice(len(sample), min(len(sample), 512), replace=False)
    rows.sort()
    best = np.full((len(rows), NEIGHBOURS), -1, np.int64)
    scores = np.zeros((len(rows), NEIGHBOURS), np.float32)
    norm = float(np.linalg.norm(sample, axis=1).max()) * 1.0001
    nearest(sample[rows], sample, np.arange(len(sample)), 0, norm, rows, best, scores, np.zeros(len(rows), np.int64))
    probes = min(settings.probes or 1, index.nlist)
    while True:
        index.nprobe = probes
        wide = NEIGHBOURS * settings.refine + 1
        _, found = index.search(sample[rows], min(wide, len(sample)))
        kept = [len(np.intersect1d(a, b[b >= 0])) / max((b >= 0).sum(), 1) for a, b in zip(found, best, strict=True)]
        recall = float(np.mean(kept))
        if settings.probes or recall >= settings.recall or probes >= index.nlist:
            return probes, recall
        probes = min(2 * probes, index.nlist)
