"""The learned fusion: trees over the features, a second look at the best, both cross-fitted, and a calibration.

A score is the probability that a cataloguer of this archive would have assigned the phrase, measured on documents the
trees that scored them had not seen.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import orjson

from kartoteka.keyphrases.boosting import Trees, fit_each, raw_scores
from kartoteka.keyphrases.calibration import calibrate
from kartoteka.keyphrases.context import Wording
from kartoteka.keyphrases.cut import Size
from kartoteka.keyphrases.far import Far, fit_far, nearness
from kartoteka.keyphrases.second import SecondLook, fit_second
from kartoteka.keyphrases.settings import KeyphraseSettings

FORMAT = 3
#: Format 2 knew no second look; all else is the same.
_READ = (2, FORMAT)
_TREE_ARRAYS = tuple(name for name in Trees._fields if name != "base")


@dataclass(frozen=True, slots=True)
class Ranker:
    """Trees over the columns `names`; `knots` float64 [2, m]: log-odds and the probability each stands for.

    `second`: the second look at the best candidates, None: none. `far`: how documents unlike those of the archive are
    ranked; None: as all others. `size`: how many keyphrases a document is expected to have; None: not known.
    """

    names: tuple[str, ...]
    trees: Trees
    knots: np.ndarray
    far: Far | None = None
    second: SecondLook | None = None
    size: Size | None = None

    def order(self, rows: np.ndarray, offsets: np.ndarray, named: Wording) -> np.ndarray:
        """What the candidates of n documents are ordered by, log-odds float64 [m], from features [m, columns]."""
        assert rows.shape[1] == len(self.names)
        order = raw_scores(self.trees, rows)
        return order if self.second is None else self.second.order(rows, order, offsets, named)

    def probability(self, order: np.ndarray) -> np.ndarray:
        """The calibrated probabilities of log-odds, float64 [n] in [0, 1]; never decreasing in them."""
        return np.interp(order, self.knots[0], self.knots[1])

    def rank(
        self,
        rows: np.ndarray,
        offsets: np.ndarray,
        formula: np.ndarray,
        named: Wording,
        trees: np.ndarray | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """What the candidates of n documents are ordered by, and their probabilities; both float64 [m].

        `formula` float64 [m]: scores of the fixed formula; `trees`: log-odds to take in place of the trees' own.
        """
        order = self.order(rows, offsets, named) if trees is None else trees
        if self.far is None:
            return order, self.probability(order)
        trust = np.repeat(self.far.trust(nearness(rows, self.names, offsets)), np.diff(offsets))
        order = self.far.blend(order, formula, trust)
        return order, trust * self.probability(order) + (1 - trust) * np.interp(order, *self.far.knots)

    def to_bytes(self) -> bytes:
        """As a NumPy archive without pickles; equal rankers give equal bytes."""
        head = {"format": FORMAT, "names": self.names, "base": self.trees.base, "far": None, "second": None}
        head["size"] = None if self.size is None else list(self.size)
        arrays = _arrays(self.trees)
        if self.second is not None:
            head["second"] = [self.second.trees.base, self.second.candidates]
            arrays |= {f"second_{name}": array for name, array in _arrays(self.second.trees).items()}
        if self.far is not None:
            head["far"] = [self.far.low, self.far.high]
            arrays |= {"far_prior": self.far.prior, "far_knots": self.far.knots}
        sink = io.BytesIO()
        np.savez(sink, head=np.frombuffer(orjson.dumps(head), np.uint8), knots=self.knots, **arrays)
        return sink.getvalue()

    @staticmethod
    def open(path: Path) -> Ranker:
        """Read what `to_bytes` gave. Raises `ValueError` naming the file when it is something else."""
        try:
            with np.load(path, allow_pickle=False) as stored:
                head = orjson.loads(stored["head"].tobytes())
                trees = Trees(**{name: stored[name] for name in _TREE_ARRAYS}, base=head["base"])
                knots, second = stored["knots"], None
                far = Far(*head["far"], stored["far_prior"], stored["far_knots"]) if head.get("far") else None
                if head.get("second"):
                    base, candidates = head["second"]
                    again = Trees(**{name: stored[f"second_{name}"] for name in _TREE_ARRAYS}, base=base)
                    second = SecondLook(again, candidates)
                size = Size(*head["size"]) if head.get("size") else None
        except (KeyError, ValueError, OSError, EOFError) as error:
            raise ValueError(f"ranker: {path} is not a ranker: {error}") from None
        if head.get("format") not in _READ:
            raise ValueError(f"ranker: {path} has format {head.get('format')!r}; this version reads {FORMAT}")
        return Ranker(tuple(head["names"]), trees, knots, far, second, size)


def _arrays(trees: Trees) -> dict[str, np.ndarray]:
    return {name: getattr(trees, name) for name in _TREE_ARRAYS}


@dataclass(frozen=True, slots=True)
class Fitted:
    """A ranker, and the log-odds float64 [m] and fold int64 [n] of its training documents, each seen by other trees."""

    ranker: Ranker
    held_out: np.ndarray
    fold: np.ndarray


def fit_ranker(
    rows: np.ndarray,
    labels: np.ndarray,
    offsets: np.ndarray,
    names: list[str],
    settings: KeyphraseSettings,
    named: Wording,
    formula: np.ndarray | None = None,
    threads: int = 1,
) -> Fitted | None:
    """Fit on the candidates of n documents: `rows` float32 [m, f], `labels` bool [m], `offsets` int64 [n + 1].

    `named`: their words; `formula` float64 [m]: scores of the fixed formula, which has a say on documents far from the
    archive. So many `threads` fit trees, and give the same. None when too few documents or no right or wrong
    candidate is there to learn from.
    """
    n = offsets.size - 1
    random = np.random.default_rng(settings.seed)
    fold = random.permutation(n) % settings.folds
    of = np.repeat(np.arange(n), np.diff(offsets))
    if n < settings.min_training or labels.sum() < settings.min_training or labels.all():
        return None
    # Most candidates are plainly wrong: a share of them teaches the same in a fraction of the time.
    share = min(1.0, settings.negatives * labels.sum() / max((~labels).sum(), 1))
    kept = labels | (random.random(labels.size) < share)
    inside = [kept & (fold[of] != i) for i in range(settings.folds)]
    fitted = fit_each(rows, labels, [*inside, kept], share, settings, threads)
    if fitted is None:
        return None
    *crossed, trees = fitted
    held_out = np.zeros(labels.size)
    for i, other in enumerate(crossed):
        held_out[fold[of] == i] = raw_scores(other, rows[fold[of] == i])
    far, second = None, None
    if settings.second_look:
        second, held_out = fit_second(rows, labels, offsets, held_out, fold[of], named, settings, threads)
    if formula is not None:
        far = fit_far(nearness(rows, names, offsets), held_out, formula, labels, offsets, settings.limit)
    knots = calibrate(held_out, labels, offsets, settings.limit)
    return Fitted(Ranker(tuple(names), trees, knots, far, second), held_out, fold)
