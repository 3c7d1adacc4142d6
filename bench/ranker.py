"""What a trained ranker adds: the fusion of an edition fitted without it and with its readings, measured side by side.

    python -m bench.ranker --edition EDITION --ranker DIR --gold FILE [--documents N] [--workers N]

EDITION was made without a ranker from an archive that holds the documents of FILE without their keyphrases. Both
fusions are fitted on the same N annotated documents, which the ranker has not seen, and rank the documents of FILE.
The ranker reads only those; its neighbours and cosines, for which it would have to read the whole archive, are left
out: `reindex --ranker` has them besides.
"""

from __future__ import annotations

import argparse
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import get_context

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from bench import corpus
from bench.quality import CONVENTION, RESAMPLES
from bench.quality import table as table_of
from bench.tables import Check, Outcome
from kartoteka import edition as editions
from kartoteka.encoding.settings import EncodingSettings
from kartoteka.evaluation.conventions import convention
from kartoteka.evaluation.keyphrases import Evaluation, evaluate
from kartoteka.evaluation.tables import read_gold, read_predictions
from kartoteka.keyphrases.hashing import within
from kartoteka.keyphrases.spans import Trained
from kartoteka.keyphrases.suggest import Suggester
from kartoteka.keyphrases.train import train
from kartoteka.ranking.directory import RankerFiles, open_ranker
from kartoteka.stages.suggest import Sources, trained_of
from kartoteka.stages.trained import EncodeTrained
from kartoteka.stages.vectors import matrix_of

BLOCK = 500
#: Lists of a fixed length, and those that are assigned as they stand.
CUTS = ("limit", "expected_f1")
REQUIRED, GAIN = 34.5, 2.5


def readings(rows: pa.Table, ranker: RankerFiles, settings: EncodingSettings) -> pa.Table:
    """The columns `trained` and `spans` of documents, as the re-index makes them."""
    for step in EncodeTrained(ranker, settings).steps:
        step.open()
        rows = step.apply(rows)
    return rows.select([name for name in ("vector", "spans") if name in rows.column_names])


def read(rows: pa.Table, ranker: RankerFiles, settings: EncodingSettings, workers: int) -> pa.Table:
    """`rows` with the ranker's readings beside the edition's vectors."""
    size = -(-rows.num_rows // workers)
    blocks = [rows.slice(start, size).drop_columns("vector") for start in range(0, rows.num_rows, size)]
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        found = pa.concat_tables(pool.map(partial(readings, ranker=ranker, settings=settings), blocks))
    return found.rename_columns(["trained", *found.column_names[1:]])


@dataclass(frozen=True)
class Documents:
    """Some of the edition's documents, their numbers among its annotated ones (-1: none), and the ranker's readings."""

    rows: pa.Table
    own: np.ndarray
    trained: Trained | None

    def suggest(self, suggester: Suggester) -> pa.Table:
        """Their keyphrases, block by block."""
        found = []
        for start in range(0, self.rows.num_rows, BLOCK):
            part = self.rows.slice(start, BLOCK)
            stop = start + part.num_rows
            some = self.trained.slice(start, stop) if self.trained else None
            found.append(suggester.suggest(part, matrix_of(part["vector"]), self.own[start:stop], some))
        return pa.concat_tables(found)


def fit_and_suggest(sources: Sources, learned: Documents, tested: Documents) -> list[pa.Table]:
    """What a fusion fitted on the one suggests for the other, with lists that end as each of `CUTS` says."""
    suggester = sources.open(ranker=False)
    fitted = train(suggester, learned.rows, matrix_of(learned.rows["vector"]), learned.own, learned.trained)
    settings = [suggester.settings.model_copy(update={"cut": cut}) for cut in CUTS]
    return [tested.suggest(replace(suggester, ranker=fitted.ranker, settings=some)) for some in settings]


def learned_from(table: pa.Table, own: np.ndarray, ranker: RankerFiles, documents: int) -> np.ndarray:
    """Rows of about so many annotated documents that the ranker has not seen."""
    free = np.flatnonzero(own >= 0)
    free = free[~ranker.has_seen(table["id"].take(pa.array(free)).to_pylist())]
    return free[within(table["id"].take(pa.array(free)).to_pylist(), min(1.0, documents / max(len(free), 1)))]


def read_edition(edition: editions.Edition) -> pa.Table:
    """Documents with their vectors."""
    table = edition.table("documents").to_table(columns=["id", "title", "abstract", "lang", "keyphrases"])
    embeddings = edition.table("embeddings").to_table()
    assert embeddings["id"] == table["id"]
    return table.append_column("vector", embeddings["vector"])


def measure(edition: editions.Edition, asked: list[dict], options: argparse.Namespace) -> tuple[list[Evaluation], int]:
    """The fusion without and with the ranker on the documents `asked`, by `CUTS`, and how many it was fitted on."""
    config, ranker = edition.manifest["config"], open_ranker(options.ranker)
    sources = Sources.of(edition)
    table, gold = read_edition(edition), {document["id"]: document["keyphrases"] for document in asked}
    ids = sources.open(ranker=False).archive.ids.cast(table["id"].type)
    own = pc.fill_null(pc.index_in(table["id"], ids), -1).to_numpy().astype(np.int64)
    learned = learned_from(table, own, ranker, options.documents)
    tested = np.flatnonzero(pc.is_in(table["id"], pa.array(gold)).to_numpy())
    if (own[tested] >= 0).any():
        raise ValueError("gold: the edition knows keyphrases of documents that it is asked for")
    without = [Documents(table.take(pa.array(some)).combine_chunks(), own[some], None) for some in (learned, tested)]
    if ranker.has_seen(without[1].rows["id"].to_pylist()).any():
        raise ValueError("ranker: it was trained on documents of the gold file")
    encoding = EncodingSettings.parse(config["encoding"])
    read_too = [
        replace(some, trained=trained_of(read(some.rows, ranker, encoding, options.workers))) for some in without
    ]
    with ProcessPoolExecutor(options.workers, get_context("spawn")) as pool:
        found = list(pool.map(partial(fit_and_suggest, sources), *zip(without, read_too, strict=True)))
    rows = without[1].rows
    wanted = pa.array([gold[name] for name in rows["id"].to_pylist()], pa.list_(pa.string()))
    answers = rows.set_column(rows.column_names.index("keyphrases"), "keyphrases", wanted).drop_columns("vector")
    measured = []
    for without_it, with_it in zip(*found, strict=True):
        systems = [
            read_predictions(ds.dataset(some), name) for some, name in ((without_it, "without"), (with_it, "with"))
        ]
        measured.append(evaluate(read_gold(ds.dataset(answers)), systems, convention(CONVENTION), resamples=RESAMPLES))
    return measured, len(learned)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--edition", required=True)
    parser.add_argument("--ranker", required=True)
    parser.add_argument("--gold", required=True)
    parser.add_argument("--documents", type=int, default=12_000)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    asked = corpus.documents([options.gold], 1 << 30)
    measured, count = measure(editions.open(options.edition), asked, options)
    outcome = Outcome("ranker", "What the trained ranker adds")
    outcome.notes += [
        f"{len(measured[0].ids):,} documents; both fusions fitted on the same {count:,}, which the ranker has not seen",
        measured[0].convention.describe(),
    ]
    for cut, some in zip(CUTS, measured, strict=True):
        gain = next(change for change in some.comparison if change.name == "F1@5")
        reached = next(100 * i.value for i in some.systems[1].intervals if i.name == "F1@5")
        outcome.notes.append(
            f"cut = {cut}: expected calibration error, without and with: "
            + ", ".join(f"{s.calibration.ece_equal_mass:.4f}" if s.calibration else "none" for s in some.systems)
        )
        outcome.table(f"In percent, cut = {cut}", ["", "with", "without", "difference"], table_of(some))
        text = f"{100 * gain.difference:+.1f} [{100 * gain.low:+.1f}, {100 * gain.high:+.1f}]"
        outcome.checks += [
            Check(
                f"F1@5 with the trained ranker, cut = {cut}", f">= {REQUIRED:g}", f"{reached:.1f}", reached >= REQUIRED
            ),
            Check(f"gain of F1@5, cut = {cut}", f">= +{GAIN:g}", text, 100 * gain.difference >= GAIN and gain.low > 0),
        ]
    outcome.values = {cut: some.as_dict() for cut, some in zip(CUTS, measured, strict=True)}
    outcome.publish()


if __name__ == "__main__":
    main()
