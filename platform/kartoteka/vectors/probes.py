"""Which inverted lists a query reads under a filter.

A filter thins the lists, and not evenly: of a language that the query is not in there is nothing in the lists next to
it. So they are read, nearest first, until as many vectors were allowed as a search without a filter compares. The
more lists that takes, beside what it would if the filter thinned all alike, the more are compared: centroids tell less
of what is far.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from kartoteka.allowed import Allowed
from kartoteka.vectors.shard import Shard

#: So many queries times lists are ranked at once, at about 37 bytes each.
_TOGETHER = 1 << 22


class Left(NamedTuple):
    """What a filter leaves of the lists: of each how many vectors, int64 [lists], and a bitmap of each shard."""

    counts: np.ndarray
    bits: list[np.ndarray]


def left_of(shards: Sequence[Shard], kept: Allowed) -> Left:
    """What `kept` leaves of `shards`, which are all of the index."""
    counts = np.zeros(shards[0].quantiser["lists"], np.int64)
    bits, base = [], 0
    for shard in shards:
        end = base + len(shard)
        counts += np.bincount(shard.list_of[kept.rows(base, end)], minlength=len(counts))
        bits.append(np.packbits(kept.mask_of(base, end), bitorder="little"))
        base = end
    return Left(counts, bits)


def lists_to_read(
    queries: np.ndarray, shards: Sequence[Shard], kept: Allowed, counts: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The inner products float32 and numbers int64 [q, lists] of what each query reads, nearest first, -1 at its end.

    `shards` are all of the index, whose vectors `kept` filters, and of whose lists it leaves `counts`.
    """
    probes = shards[0].quantiser["probes"]
    depth = min(len(counts), int(np.ceil(2 * probes / kept.share)))
    todo, found = np.arange(len(queries)), []
    while len(todo):
        block = max(1, _TOGETHER // depth)
        lacking = []
        for low in range(0, len(todo), block):
            rows = todo[low : low + block]
            distances, lists, enough = _nearest(queries[rows], depth, shards[0], kept, counts)
            enough |= depth == len(counts)
            found.append((rows[enough], distances[enough], lists[enough]))
            lacking.append(rows[~enough])
        todo, depth = np.concatenate(lacking), len(counts)
    width = max(int((lists >= 0).sum(axis=1).max(initial=0)) for _, _, lists in found)
    distances, lists = np.zeros((len(queries), width), np.float32), np.full((len(queries), width), -1, np.int64)
    for rows, near, numbers in found:
        these = slice(0, min(width, numbers.shape[1]))
        distances[rows, these], lists[rows, these] = near[:, these], numbers[:, these]
    return distances, lists


def _nearest(
    queries: np.ndarray, depth: int, shard: Shard, kept: Allowed, counts: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The nearest lists of each query that it reads of `depth`, as above, and whether those are enough, bool [q]."""
    trained = shard.quantiser
    wanted = trained["probes"] / trained["lists"] * kept.documents
    distances, lists = shard.lists.quantizer.search(queries, depth)
    inside = counts[lists]
    held = np.cumsum(inside, axis=1)
    far = (held - inside < wanted).sum(axis=1) * kept.share / trained["probes"]
    enough = wanted * np.maximum(far, 1)[:, None]
    lists[held - inside >= enough] = -1
    width = int((lists >= 0).sum(axis=1).max())
    return distances[:, :width], lists[:, :width], held[:, -1] >= enough[:, 0]
