"""One shard of the vector index on disk: its vectors as they are, their documents, FAISS's lists above a size."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pyarrow as pa

from kartoteka.folders import IDS, describe, description, mapped, mapped_ids, whole_folder
from kartoteka.vectors.choose import KIND, Quantiser, check
from kartoteka.vectors.codes import Codes, encode


@dataclass(frozen=True, slots=True)
class Shard:
    """`vectors` float16 or float32 [n, d], at most `norm` long, and their `codes`; `ids` [n]; `lists`: FAISS's.

    `list_of` int32 [n]: the list that each vector is in. All memory-mapped; no lists, both None.
    """

    vectors: np.ndarray
    norm: float
    codes: Codes
    ids: pa.ChunkedArray
    lists: faiss.IndexIVF | None
    list_of: np.ndarray | None
    quantiser: dict[str, Any]

    def __len__(self) -> int:
        return len(self.vectors)

    @classmethod
    def open(cls, folder: str | os.PathLike[str]) -> Shard:
        """Map a shard. Raises `ValueError` naming the file that is missing or torn."""
        folder = Path(folder)
        values = description(folder, KIND)
        path = folder / "vectors.npy"
        try:
            vectors = mapped(path)
            path = folder / "codes.npy"
            codes = mapped(path)
            path = folder / "scale.npy"
            scale = mapped(path)
            path = folder / "ids.arrow"
            ids = mapped_ids(path)
            path = folder / "lists.faiss"
            lists = list_of = None
            if values["quantiser"]["lists"]:
                lists = faiss.read_index(str(path), faiss.IO_FLAG_MMAP | faiss.IO_FLAG_READ_ONLY)
                path = folder / "list_of.npy"
                list_of = mapped(path)
        except (OSError, ValueError, EOFError, RuntimeError, pa.ArrowException) as error:
            raise ValueError(f"{KIND}: cannot read {path}: {str(error).splitlines()[0]}") from None
        coded = Codes(codes, scale, values["error"])
        return cls(vectors, values["norm"], coded, ids, lists, list_of, values["quantiser"])


def build_shard(
    vectors: np.ndarray, ids: Sequence[str] | pa.Array, quantiser: Quantiser, folder: str | os.PathLike[str]
) -> None:
    """Write a shard of `vectors` [n, d] (kept as the float16 or float32 they are) and `ids` [n], whole or not at all.

    Raises `ValueError`: a value that is not finite, another dimension, or another number of ids.
    """
    vectors = check(vectors, quantiser.dimension)
    if len(ids) != len(vectors):
        raise ValueError(f"ids: {len(ids)} for {len(vectors)} vectors")
    norms = np.linalg.norm(vectors.astype(np.float32), axis=1)
    with whole_folder(folder) as beside:
        codes = encode(vectors)
        for name, array in (("vectors", vectors), ("codes", codes.codes), ("scale", codes.scale)):
            np.save(beside / f"{name}.npy", array, allow_pickle=False)
        column = ids.cast(pa.large_string()) if isinstance(ids, pa.Array) else pa.array(ids, pa.large_string())
        with pa.OSFile(str(beside / "ids.arrow"), "wb") as sink, pa.ipc.new_file(sink, IDS) as writer:
            writer.write_table(pa.table([column], schema=IDS))
        if not quantiser.exact:
            index = quantiser.empty()
            faiss.omp_set_num_threads(1)
            index.add(vectors.astype(np.float32))
            faiss.write_index(index, str(beside / "lists.faiss"))
            np.save(beside / "list_of.npy", _lists_of(index), allow_pickle=False)
        norm = float(norms.max(initial=0)) * 1.0001
        about = {"quantiser": quantiser.as_dict(), "norm": norm, "error": codes.error, "documents": len(vectors)}
        describe(beside, KIND, about)


def _lists_of(index: faiss.IndexIVF) -> np.ndarray:
    """The list that each vector of a filled index is in, int32 [n]."""
    lists = np.empty(index.ntotal, np.int32)
    for number in range(index.nlist):
        size = index.invlists.list_size(number)
        if size:
            lists[faiss.rev_swig_ptr(index.invlists.get_ids(number), size)] = number
    return lists
