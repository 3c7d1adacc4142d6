"""Fit: the ranker learned from the archive's own annotated documents, and its quality on documents it has not seen.

Beside a trained encoder, which knows the keyphrases of the documents it was trained on, only others can tell what its
cosines are worth. Where too few are left, the fusion that came with the encoder ranks, if it was fitted on the same
features; else the fixed rule.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from kartoteka import cluster
from kartoteka.edition import BUILD
from kartoteka.flow.build import Build
from kartoteka.flow.ledger import Completion, files_of
from kartoteka.stages.suggest import RANKER, Sources, load_numbered, numbering, trained_of
from kartoteka.stages.vectors import matrix_of
from kartoteka.storage import Storage

if TYPE_CHECKING:
    from kartoteka.evaluation.significance import Interval
    from kartoteka.keyphrases.suggest import Suggester
    from kartoteka.keyphrases.train import Training
    from kartoteka.ranking.directory import RankerFiles

QUALITY = f"{BUILD}/quality.json"
CONVENTION = "mean-f1"
RESAMPLES = 2000


@dataclass(frozen=True)
class FitRanker:
    """Fit on a sample of the annotated documents, each as if it were new. `first` numbers those of each part.

    `trained`: the trained ranker whose vectors are among the features. `threads` of this task fit trees.
    """

    sources: Sources
    first: dict[str, int]
    annotated: int
    trained: RankerFiles | None = None
    threads: int = 1

    def __call__(self, storage: Storage) -> Completion:
        """Fit, keep the ranker in the edition and its quality in the build."""
        from kartoteka.keyphrases.train import train

        rows = self._sample(storage)
        if not rows.num_rows:  # nothing to learn from, nothing to measure
            system = "votes" if self.sources.keyphrases.method == "votes" else "prior"
            storage.put_json(QUALITY, {"system": system, "calibrated": False})
            return Completion("")
        suggester = self.sources.open(ranker=False)
        if self.trained is not None and self.sources.keyphrases.method == "ranker":
            unseen = rows.filter(pa.array(~self.trained.has_seen(rows["id"].to_pylist())))
            if unseen.num_rows < self.sources.keyphrases.min_training:
                return _take_over(storage, suggester, rows.slice(0, 1), self.trained.fusion)
            rows = unseen
        vectors, own = matrix_of(rows["vector"]), rows["own"].to_numpy()
        trained = train(suggester, rows, vectors, own, trained_of(rows), self.threads)
        files = {RANKER: storage.put(RANKER, trained.ranker.to_bytes())} if trained.ranker else {}
        storage.put_json(QUALITY, measure(rows, trained))
        return Completion("", rows.num_rows, rows.num_rows, files=files_of(files))

    def _sample(self, storage: Storage) -> pa.Table:
        from kartoteka.keyphrases.train import is_training

        chosen = []
        for part, first in self.first.items():
            rows = load_numbered(storage, part, first)
            rows = rows.filter(pc.greater_equal(rows["own"], 0))
            chosen.append(
                rows.filter(pa.array(is_training(rows["id"].to_pylist(), self.annotated, self.sources.keyphrases)))
            )
        return pa.concat_tables(chosen)


def _take_over(storage: Storage, suggester: Suggester, example: pa.Table, fusion: Path | None) -> Completion:
    """Nothing can be fitted or measured: take the encoder's own `fusion` if it knows the features of an `example`."""
    from kartoteka.keyphrases.ranker import Ranker

    files = {}
    if fusion is not None:
        vectors, own = matrix_of(example["vector"]), example["own"].to_numpy()
        found = suggester.candidates(example, vectors, own, trained=trained_of(example))
        if list(Ranker.open(fusion).names) == found.names:
            files[RANKER] = storage.put(RANKER, fusion.read_bytes())
    storage.put_json(QUALITY, {"system": "taken_over" if files else "prior", "calibrated": False})
    return Completion("", files=files_of(files))


def fit_ranker(build: Build, annotated: dict[str, int], sources: Sources, trained: RankerFiles | None = None) -> None:
    """Run the stage over the `annotated` documents (rows by part, in archive order)."""
    # As many trees are fitted apart as there are folds, and once all of them together.
    cpus = min(cluster.most_cpus(), sources.keyphrases.folds + 1)
    task = FitRanker(sources, numbering(annotated), sum(annotated.values()), trained, cpus)
    build.run_tasks("fit", {"all": task}, cpus)


def measure(gold: pa.Table, trained: Training) -> dict[str, Any]:
    """What ranks, whether its scores are probabilities, and its quality beside the votes rule where it can be had.

    The `gold` documents are those of the training: trees rank the ones they had not seen.
    """
    from kartoteka.evaluation.conventions import convention
    from kartoteka.evaluation.keyphrases import evaluate
    from kartoteka.evaluation.tables import read_gold, read_predictions

    about = {"system": trained.system, "calibrated": trained.system == "ranker"}
    tables = {"votes": trained.votes} | {trained.system: trained.held_out}
    systems = [read_predictions(ds.dataset(table), name) for name, table in tables.items()]
    documents = ds.dataset(gold.select(["id", "title", "abstract", "lang", "keyphrases"]))
    try:
        measured = evaluate(read_gold(documents), systems, convention(CONVENTION), resamples=RESAMPLES)
    except ValueError:  # keyphrases without a single word: nothing to compare with
        return about
    best = measured.systems[-1]
    calibration = best.calibration if about["calibrated"] else None
    return about | {
        "documents": len(measured.ids),
        "convention": measured.convention.describe(),
        "metrics": _metrics(best.intervals),
        "baseline": _metrics(measured.systems[0].intervals),
        "gain": [asdict(comparison) for comparison in measured.comparison],
        "calibration": calibration
        and {
            "ece": calibration.ece_equal_mass,
            "brier": calibration.brier,
            "bins": [
                {"low": b.low, "high": b.high, "mean_score": b.score, "share_correct": b.accuracy, "count": b.count}
                for b in calibration.equal_mass
            ],
        },
    }


def _metrics(intervals: list[Interval]) -> dict[str, dict[str, float]]:
    """Each metric with its interval; one for which no document has a reference is not there."""
    return {i.name: {"value": i.value, "low": i.low, "high": i.high} for i in intervals if math.isfinite(i.value)}
