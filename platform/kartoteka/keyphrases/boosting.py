"""Gradient-boosted trees: fitted by scikit-learn, kept as plain arrays, evaluated by one small kernel.

Arrays instead of a pickle: an edition opened by another version, or by somebody else, runs no code of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
from numba import njit

from kartoteka.keyphrases.settings import KeyphraseSettings

#: Rows that go down a tree together.
_TOGETHER = 32


class Trees(NamedTuple):
    """Nodes of all trees, tree by tree: `roots` int32 [trees], `feature` int16 (-1: a leaf), `threshold` float64,
    `left`/`right` int32 numbers of nodes, `value` float64; `base` is the score before the first tree.
    """

    roots: np.ndarray
    feature: np.ndarray
    threshold: np.ndarray
    left: np.ndarray
    right: np.ndarray
    value: np.ndarray
    base: float


def fit_trees(
    rows: np.ndarray, labels: np.ndarray, share: float, rounds: int, leaves: int, rate: float, seed: int
) -> Trees:
    """Fit a classifier of log-loss on `rows` float32 [n, f] without missing values; both labels occur.

    `share`: the share of all wrong candidates that is among `rows`. Leaving some out multiplies the odds by 1 / share,
    which the base takes back; weights would say the same, but scikit-learn bins weighted rows four times slower.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier  # imported late: only the training task needs it

    model = HistGradientBoostingClassifier(
        max_iter=rounds,
        learning_rate=rate,
        max_leaf_nodes=leaves,
        min_samples_leaf=min(40, max(5, len(rows) // 200)),
        l2_regularization=1.0,
        early_stopping=False,
        random_state=seed,
    ).fit(rows, labels)
    return _export(model, float(np.log(share)))


def fit_each(
    rows: np.ndarray,
    labels: np.ndarray,
    chosen: Sequence[np.ndarray],
    share: float,
    settings: KeyphraseSettings,
    threads: int = 1,
) -> list[Trees] | None:
    """`fit_trees` of the rows that each of `chosen`, bool [n], picks; so many `threads` at work, with equal trees.

    None where one of them picks rows that are all right or all wrong.
    """
    from threadpoolctl import threadpool_limits

    if any(labels[some].all() or not labels[some].any() for some in chosen):
        return None

    def fit(some: np.ndarray) -> Trees:
        with threadpool_limits(1, "openmp"):  # of this thread alone: the others are at work beside it
            return fit_trees(
                rows[some], labels[some], share, settings.rounds, settings.leaves, settings.learning_rate, settings.seed
            )

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(fit, chosen))


def mean_of(some: Sequence[Trees]) -> Trees:
    """Trees whose log-odds are the mean of those of `some`, at least one."""
    sizes = np.array([trees.feature.size for trees in some])
    shifts = np.cumsum(sizes) - sizes
    moved = {
        name: np.concatenate([getattr(trees, name) + np.int32(by) for trees, by in zip(some, shifts, strict=True)])
        for name in ("roots", "left", "right")
    }
    same = {name: np.concatenate([getattr(trees, name) for trees in some]) for name in ("feature", "threshold")}
    value = np.concatenate([trees.value for trees in some]) / len(some)
    return Trees(**moved, **same, value=value, base=float(np.mean([trees.base for trees in some])))


def _export(model: Any, shift_base: float) -> Trees:
    nodes = [predictor.nodes for (predictor,) in model._predictors]  # scikit-learn keeps the trees nowhere else
    sizes = np.array([len(tree) for tree in nodes])
    roots = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int32)
    joined = np.concatenate(nodes)
    shift = np.repeat(roots, sizes)
    leaf = joined["is_leaf"].astype(bool)
    return Trees(
        roots=roots,
        feature=np.where(leaf, -1, joined["feature_idx"]).astype(np.int16),
        threshold=joined["num_threshold"].astype(np.float64),
        left=(joined["left"].astype(np.int64) + shift).astype(np.int32),
        right=(joined["right"].astype(np.int64) + shift).astype(np.int32),
        value=joined["value"].astype(np.float64),
        base=float(np.ravel(model._baseline_prediction)[0]) + shift_base,
    )


class _Packed(NamedTuple):
    """Trees as they are walked: a node's children lie side by side, `child` int32 is the left one.

    A leaf is its own child with the threshold +inf, so that a row that has come to one stays there. `feature` int32,
    `threshold` float32 and `value` float64 of all nodes; `roots`, `depth` int32 of all trees.
    """

    feature: np.ndarray
    threshold: np.ndarray
    child: np.ndarray
    value: np.ndarray
    roots: np.ndarray
    depth: np.ndarray


@njit(cache=True)
def _pack(trees: Trees) -> _Packed:
    n, count = trees.feature.size, trees.roots.size
    packed = _Packed(
        np.zeros(n, np.int32), np.full(n, np.inf, np.float32), np.empty(n, np.int32), np.zeros(n, np.float64),
        np.empty(count, np.int32), np.zeros(count, np.int32),
    )  # fmt: skip
    given, level = np.empty(n, np.int64), np.zeros(n, np.int32)
    end = 0
    for t in range(count):
        at = end
        packed.roots[t], given[end], end = end, trees.roots[t], end + 1
        while at < end:
            node = given[at]
            if trees.feature[node] < 0:
                packed.child[at], packed.value[at] = at, trees.value[node]
                packed.depth[t] = max(packed.depth[t], level[at])
            else:
                if end + 2 > n:
                    raise ValueError("trees: a node has two parents")
                # The largest float32 that is not above: a float32 exceeds the one exactly where it exceeds the other
                threshold = np.float32(trees.threshold[node])
                if np.float64(threshold) > trees.threshold[node]:
                    threshold = np.nextafter(threshold, np.float32(-np.inf))
                packed.feature[at], packed.threshold[at], packed.child[at] = trees.feature[node], threshold, end
                given[end], given[end + 1] = trees.left[node], trees.right[node]
                level[end] = level[end + 1] = level[at] + 1
                end += 2
            at += 1
    return packed


@njit(cache=True)
def raw_scores(trees: Trees, rows: np.ndarray) -> np.ndarray:
    """Log-odds float64 [n] of `rows` float32 [n, f].

    Some rows go down a tree together, a step each by turns and without a branch: which way a row goes cannot be
    foretold, and a wrong guess of the CPU costs more than the steps that a row which has arrived takes in its place.
    """
    packed = _pack(trees)
    out = np.full(rows.shape[0], trees.base)
    at = np.empty(_TOGETHER, np.int32)
    for start in range(0, rows.shape[0], _TOGETHER):
        size = min(_TOGETHER, rows.shape[0] - start)
        for t in range(packed.roots.size):
            at[:size] = packed.roots[t]
            for _ in range(packed.depth[t]):
                for i in range(size):
                    node = at[i]
                    right = rows[start + i, packed.feature[node]] > packed.threshold[node]
                    at[i] = packed.child[node] + np.int32(right)
            for i in range(size):
                out[start + i] += packed.value[at[i]]
    return out
