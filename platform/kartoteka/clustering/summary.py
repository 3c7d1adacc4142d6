"""The tables of an edition's clusters: one row for each document, and one for each cluster."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from kartoteka.clustering.kmeans import Sums
from kartoteka.clustering.purity import Purity

#: Fewer clusters than this are mapped by their first two axes.
_FEW = 12

#: `distance` to the cluster's centre, in the space of the principal components.
CLUSTERS_SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("cluster", pa.int32(), nullable=False),
        pa.field("distance", pa.float32(), nullable=False),
    ]
)

#: `inertia`: the cluster's share of the whole; `distance`: root mean square of its documents' (null: none); `purity`
#: and `dominant` null until there are labels; `medoids`: the nearest documents; `x`, `y`: its centre on the map.
SUMMARY_SCHEMA = pa.schema(
    [
        pa.field("cluster", pa.int32(), nullable=False),
        pa.field("size", pa.int64(), nullable=False),
        pa.field("inertia", pa.float32(), nullable=False),
        pa.field("distance", pa.float32()),
        pa.field("purity", pa.float32()),
        pa.field("dominant", pa.string()),
        pa.field("terms", pa.list_(pa.string()), nullable=False),
        pa.field("keyphrases", pa.list_(pa.string()), nullable=False),
        pa.field("medoids", pa.list_(pa.string()), nullable=False),
        pa.field("x", pa.float32(), nullable=False),
        pa.field("y", pa.float32(), nullable=False),
    ]
)


def clusters_table(ids: pa.ChunkedArray, clusters: np.ndarray, distances: np.ndarray) -> pa.Table:
    """The `CLUSTERS_SCHEMA` table of some documents."""
    return pa.table([ids, clusters.astype(np.int32), distances.astype(np.float32)], schema=CLUSTERS_SCHEMA)


def summary_table(
    sums: Sums,
    centroids: np.ndarray,
    terms: Sequence[Sequence[str]],
    keyphrases: Sequence[Sequence[str]],
    medoids: Sequence[Sequence[str]],
) -> pa.Table:
    """The `SUMMARY_SCHEMA` table of k clusters, given the sums of all documents about their `centroids` [k, d]."""
    k, held = len(centroids), sums.counts > 0
    distance = np.sqrt(sums.inertia / np.maximum(sums.counts, 1))
    place = on_map(centroids)
    return pa.table(
        {
            "cluster": np.arange(k, dtype=np.int32),
            "size": sums.counts,
            "inertia": (sums.inertia / (sums.inertia.sum() or 1.0)).astype(np.float32),
            "distance": pa.array(distance.astype(np.float32), mask=~held),
            "purity": pa.nulls(k, pa.float32()),
            "dominant": pa.nulls(k, pa.string()),
            "terms": pa.array(terms, pa.list_(pa.string())),
            "keyphrases": pa.array(keyphrases, pa.list_(pa.string())),
            "medoids": pa.array(medoids, pa.list_(pa.string())),
            "x": place[:, 0],
            "y": place[:, 1],
        },
        schema=SUMMARY_SCHEMA,
    )


def with_purity(summary: pa.Table, purity: Purity, classes: Sequence[str]) -> pa.Table:
    """The `SUMMARY_SCHEMA` table with what a classifier says of each cluster: hard purity and the dominant class.

    `classes` are the names of the classes. Both stay null for a cluster of which no document has a label.
    """
    none = purity.size == 0
    shares = pa.array(purity.hard.astype(np.float32), mask=none)
    dominant = pa.array([None if number < 0 else classes[number] for number in purity.dominant.tolist()], pa.string())
    for name, column in (("purity", shares), ("dominant", dominant)):
        summary = summary.set_column(summary.schema.get_field_index(name), SUMMARY_SCHEMA.field(name), column)
    return summary


def on_map(centroids: np.ndarray) -> np.ndarray:
    """Where `centroids` [k, d] are on a map, float32 [k, 2].

    t-SNE (van der Maaten & Hinton 2008) from their first two axes, those of the largest variance; these themselves
    where there are too few clusters to have neighbours.
    """
    k = len(centroids)
    flat = np.zeros((k, 2), np.float32)
    flat[:, : centroids.shape[1]] = centroids[:, :2]
    if k < _FEW or not np.ptp(flat[:, 0]):
        return flat
    from sklearn.manifold import TSNE

    start = flat / (np.std(flat[:, 0]) or 1.0) * 1e-4  # as sklearn scales its own start
    return TSNE(perplexity=min(30.0, k / 4), init=start, random_state=0, n_jobs=1).fit_transform(centroids)
