"""Which inverted lists a query reads under a filter.

A filter thins the lists, and not evenly: of a language that the query is not in there is nothing in the lists next to
it. So they are read, nearest first, until as many vectors were allowed as a search without a filter compares. The
more lists that takes, beside what it would if the filter thinned all alike, the more are compared: centroids tell less
of what is far.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kartoteka.allowed import Allowed
from kartoteka.vectors.shard import Shard


def lists_to_read(queries: np.ndarray, shards: Sequence[Shard], kept: Allowed) -> tuple[np.ndarray, np.ndarray]:
    """The inner products float32 and numbers int64 [q, lists] of what each query reads, nearest first, -1 at its end.

    `shards` are all of the index, whose vectors `kept` filters.
    """
    trained, quantizer = shards[0].quantiser, shards[0].lists.quantizer
    wanted = trained["probes"] / trained["lists"] * kept.documents
    counts = np.zeros(trained["lists"], np.int64)
    base = 0
    for shard in shards:
        counts += np.bincount(shard.list_of[kept.rows(base, base + len(shard))], minlength=len(counts))
        base += len(shard)
    depth = min(len(counts), int(np.ceil(2 * trained["probes"] / kept.share)))
    while True:
        distances, lists = quantizer.search(queries, depth)
        inside = counts[lists]
        held = np.cumsum(inside, axis=1)
        far = (held - inside < wanted).sum(axis=1) * kept.share / trained["probes"]
        enough = wanted * np.maximum(far, 1)[:, None]
        if depth == len(counts) or (held[:, -1:] >= enough).all():
            break
        depth = len(counts)
    lists[held - inside >= enough] = -1
    width = int((lists >= 0).sum(axis=1).max())
    return np.ascontiguousarray(distances[:, :width]), np.ascontiguousarray(lists[:, :width])
