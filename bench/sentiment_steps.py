"""The steps of the sentiment pipeline as the bench takes them, and what was believed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from rich.console import Console

from bench.sentiment_world import World
from jobs.config import SentimentConfig, TrainConfig, TrainMlmConfig
from jobs.pseudolabel import run as pseudolabel
from kartoteka.pretraining.task import MlmTask
from kartoteka.sentiment.classify import open_classifier
from kartoteka.sentiment.ngram_fit import fit_ngrams
from kartoteka.sentiment.ngrams import write_ngrams
from kartoteka.sentiment.pseudolabels import PseudolabelSettings, surest
from kartoteka.sentiment.split import validation_of
from kartoteka.sentiment.task import SentimentTask
from kartoteka.sentiment.texts import CLASSES, UNLABELLED
from kartoteka.storage import Storage
from kartoteka.training.run import RUN, train
from kartoteka.training.settings import TrainingSettings
from kartoteka.training.task import Task

#: What the finals learn from, beside the gold texts.
OTHERS, ALL = "other sources", "other sources and posts"


@dataclass(frozen=True)
class Bench:
    """The world, its files (gold, posts, other sources), the settings, and the encoder that has read the files."""

    world: World
    files: tuple[str, ...]
    config: SentimentConfig
    encoder: str

    def labels(self, folder: Path) -> np.ndarray:
        """Of the test texts, by the model that a run left."""
        return open_classifier(str(folder / "model"), "cpu").classify(self.world.test.texts)[0].argmax(axis=1)

    def learn(
        self,
        folder: Path,
        seed: int,
        encoder: str | None,
        weight: float = 0.0,
        pseudo: str | None = None,
        steps: int | None = None,
    ) -> dict[str, Any]:
        """Base, or with `pseudo`-labels final, in so many `steps` (None: as configured); what `run.json` says."""
        settings = self.config.sentiment.model_copy(update={"seed": seed, "metric_weight": weight})
        training = self.config.training.model_copy(update={"seed": seed} | ({"steps": steps} if steps else {}))
        task = SentimentTask(self.files, encoder, pseudo, settings)
        return _train(task, training, self.config, folder)


def pretrain(files: tuple[str, ...], config: TrainMlmConfig, folder: Path) -> tuple[str, dict[str, Any]]:
    """The encoder that has read the `files`, and what its run says."""
    task = MlmTask(files, None, config.mlm)
    about = _train(task, config.training, config, folder)
    return str(folder / "model"), about


def by_ngrams(world: World, config: SentimentConfig, folder: Path) -> Path:
    """The classifier of `train sentiment-ngrams` from the gold texts, validated as the transformers are."""
    settings, labels = config.sentiment, np.array(world.train.labels)
    held = validation_of(world.train, settings.validation_share, settings.seed)
    learned, asked = (world.train.take(np.flatnonzero(rows)).texts for rows in (~held, held))
    found = fit_ngrams(learned, labels[~held], asked, labels[held], config.ngrams, settings.seed)
    folder.mkdir(exist_ok=True)
    write_ngrams(folder, found.shape, found.parameters, {})
    return folder


def steps(bench: Bench, seed: int, lambdas: Sequence[float], folder: Path, *, fresh: bool) -> dict[str, Any]:
    """One seed: labels of the test texts by each step, those of the finals by each λ; what was believed.

    `fresh`: a base from a fresh encoder, too.
    """
    if fresh:
        bench.learn(folder / "fresh", seed, None)
    base = bench.learn(folder / "base", seed, bench.encoder)
    seeded = bench.config.model_copy(update={"sentiment": bench.config.sentiment.model_copy(update={"seed": seed})})
    ngrams, pseudo = by_ngrams(bench.world, seeded, folder / "ngrams"), folder / "pseudo.parquet"
    settings = bench.config.pseudolabels.model_dump()
    model = str(folder / "base/model")
    if not pseudo.exists():  # else of a bench that was stopped, and its finals are of these very labels
        pseudolabel(model, list(bench.files), pseudo, bench.config, settings, "cpu", 1, str(ngrams))
    table = pq.read_table(pseudo)
    Storage(folder).put_table("others.parquet", without(table, bench.world.posts.ids))
    finals = {
        (name, weight): _final(bench, seed, weight, file, folder / f"{file.stem}-{weight:g}")
        for name, file in ((OTHERS, folder / "others.parquet"), (ALL, pseudo))
        for weight in lambdas
    }
    # More steps alone may be what a final gains from.
    bench.learn(folder / "longer", seed, bench.encoder, steps=finals[OTHERS, lambdas[0]]["steps"])
    return {
        "n-grams": open_classifier(str(ngrams)).classify(bench.world.test.texts)[0].argmax(axis=1),
        "fresh": bench.labels(folder / "fresh") if fresh else None,
        "base": bench.labels(folder / "base"),
        "longer": bench.labels(folder / "longer"),
        "base_steps": base["steps"],
        "finals": finals,
        "accepted": accepted(table, open_classifier(model, "cpu").classify(bench.world.others.texts)[0], bench.world),
    }


def _final(bench: Bench, seed: int, weight: float, pseudo: Path, folder: Path) -> dict[str, Any]:
    about = bench.learn(folder, seed, bench.encoder, weight, str(pseudo))
    print(f"seed {seed}, {folder.name}: validation {about['best']['macro_f1']:.4f}", flush=True)
    return {
        "validation": about["best"]["macro_f1"],
        "labels": bench.labels(folder),
        "steps": about["steps"],
        "pseudolabelled": about["data"]["pseudolabelled"],
    }


def without(table: pa.Table, ids: Sequence[str]) -> pa.Table:
    """The rows of other ids."""
    return table.filter(pc.invert(pc.is_in(table["id"], pa.array(ids))))


def accepted(table: pa.Table, by_base: np.ndarray, world: World) -> list[dict[str, Any]]:
    """For each other source and all: precision of what the default settings accept, on hidden labels.

    Beside it that of as many as the base alone, with probabilities `by_base` [others, 3], is surest of; and of those
    of all texts. `confused`: how often each wrong label stands for each hidden one among the accepted.
    """
    place = {name: row for row, name in enumerate(world.others.ids)}
    table = table.filter(pc.is_in(table["id"], pa.array(world.others.ids)))
    own = np.array([place[name] for name in table["id"].to_pylist()])
    hidden = np.array(world.others.labels)[own]
    limits = PseudolabelSettings()
    columns = {name: table[name].to_numpy(zero_copy_only=False) for name in table.column_names}
    sure = (columns["purity"] >= limits.purity) & (columns["probability"] >= limits.probability)
    reliable = sure & (columns["label"] == columns["dominant"]) & columns["agreed"]
    label = np.array([CLASSES.index(name) for name in columns["label"]])
    reliable = surest(reliable, label, columns["probability"], limits.largest_share)
    base, known = by_base[own], hidden != UNLABELLED
    found = []
    for name in [*sorted(set(columns["source"])), "all"]:
        mine = known & ((columns["source"] == name) | (name == "all"))
        taken = mine & reliable
        ahead = np.flatnonzero(mine)[np.argsort(-base[mine].max(axis=1), kind="stable")[: taken.sum()]]
        wrong = taken & (label != hidden)
        pairs = [
            (gold, said, int((wrong & (hidden == g) & (label == s)).sum()))
            for g, gold in enumerate(CLASSES)
            for s, said in enumerate(CLASSES)
        ]
        found.append(
            {
                "source": name, "texts": int(mine.sum()), "accepted": int(taken.sum()),
                "precision": _mean(label[taken] == hidden[taken]),
                "all": _mean(base[mine].argmax(axis=1) == hidden[mine]),
                "base_at_equal_coverage": _mean(base[ahead].argmax(axis=1) == hidden[ahead]),
                "confused": [pair for pair in pairs if pair[2]],
            }
        )  # fmt: skip
    return found


def _mean(right: np.ndarray) -> float | None:
    return float(right.mean()) if len(right) else None


def _train(task: Task, training: TrainingSettings, config: TrainConfig, folder: Path) -> dict[str, Any]:
    """A run in `folder`, or the rest of one that a bench before has begun there."""
    run, quiet = Storage(folder), Console(quiet=True)
    return train(task, training, config.workers, run, quiet, resume=run.exists(RUN), command="bench.sentiment")
