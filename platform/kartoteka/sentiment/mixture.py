"""Gold and pseudo-labelled texts as one training set."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kartoteka.sentiment.pseudolabels import Pseudolabels
from kartoteka.sentiment.texts import CLASSES, Texts, copy_keys, side_keys


@dataclass(frozen=True)
class Mixture:
    """Labelled texts. `label`, `dominant` int8 [n], `cluster` int32 [n], `validation`, `pseudo` bool [n].

    `target` float32 [n, 3]: the shares of the classes that the cross-entropy is against.
    """

    ids: list[str]
    texts: list[str]
    label: np.ndarray
    validation: np.ndarray
    pseudo: np.ndarray
    cluster: np.ndarray
    dominant: np.ndarray
    target: np.ndarray


def of_gold(gold: Texts, validation: np.ndarray) -> Mixture:
    """Gold texts alone; nothing is known of clusters."""
    label = np.array(gold.labels, np.int8)
    none = np.full(len(gold), -1, np.int32)
    return Mixture(gold.ids, gold.texts, label, validation, np.zeros(len(gold), bool), none, label, _certain(label))


def mix(gold: Mixture, found: Pseudolabels, share: float, *, soft: bool) -> Mixture:
    """The `gold` texts with the clusters found for them, then the pseudo-labelled ones that are believed.

    Left out: copies of a gold text (its label stays), whatever begins like a validation text, and what is more than
    `share` of the gold training texts of its class, by hash. `soft`: the target of a pseudo-labelled text are the
    probabilities it was given, and not its label alone.
    """
    own, keys = copy_keys(gold.texts), copy_keys(found.texts)
    first = {key: row for row, key in reversed(list(enumerate(keys.tolist())))}
    match = np.array([first.get(key, -1) for key in own.tolist()], np.int64)
    cluster = np.where(match >= 0, found.cluster[match], -1).astype(np.int32)
    dominant = np.where(match >= 0, found.dominant[match], gold.label).astype(np.int8)
    held = side_keys([text for text, out in zip(gold.texts, gold.validation, strict=True) if out])
    free = found.believed & ~np.isin(keys, own) & ~np.isin(side_keys(found.texts), held)
    free &= np.array([first[key] == row for row, key in enumerate(keys.tolist())], bool)
    most = share * np.bincount(gold.label[~gold.validation], minlength=len(CLASSES))
    rows = np.sort(np.concatenate([_first(keys, free & (found.label == c), round(n)) for c, n in enumerate(most)]))
    return Mixture(
        gold.ids + [found.ids[row] for row in rows],
        gold.texts + [found.texts[row] for row in rows],
        np.concatenate([gold.label, found.label[rows]]),
        np.concatenate([gold.validation, np.zeros(len(rows), bool)]),
        np.concatenate([gold.pseudo, np.ones(len(rows), bool)]),
        np.concatenate([cluster, found.cluster[rows]]),
        np.concatenate([dominant, found.dominant[rows]]),
        np.concatenate([gold.target, found.shares[rows] if soft else _certain(found.label[rows])]),
    )


def _certain(label: np.ndarray) -> np.ndarray:
    """Targets of labels that leave no doubt."""
    return np.eye(len(CLASSES), dtype=np.float32)[label]


def _first(keys: np.ndarray, chosen: np.ndarray, most: int) -> np.ndarray:
    """At most `most` of the rows that are `chosen` bool [n], int64: those whose key is least."""
    rows = np.flatnonzero(chosen)
    return rows[np.argsort(keys[rows], kind="stable")][:most]
