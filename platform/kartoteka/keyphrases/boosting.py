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


@njit(cache=True)
def raw_scores(trees: Trees, rows: np.ndarray) -> np.ndarray:
    """Log-odds float64 [n] of `rows` float32 [n, f]."""
    out = np.empty(rows.shape[0], np.float64)
    for i in range(rows.shape[0]):
        total = trees.base
        for node in trees.roots:
            while trees.feature[node] >= 0:
                below = rows[i, trees.feature[node]] <= trees.threshold[node]
                node = trees.left[node] if below else trees.right[node]
            total += trees.value[node]
        out[i] = total
    return out
