"""Keyphrases of documents whose own were withheld from `kartoteka reindex`, beside the votes of their neighbours.

    python -m bench.quality [--corpus PATH ...] [--gold FILE] [--documents N] [--share S]

With --gold the documents of that file join the archive without their keyphrases; without it a share of the archive's
annotated documents does, chosen by a hash of their keyphrases: records that have one list, as the abstracts of a thesis
in two languages do, fall on the same side. Both systems see the same edition: the votes are taken from its index.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from bench import corpus
from bench.processes import watch
from bench.tables import Check, Outcome
from kartoteka import edition as editions
from kartoteka.evaluation.conventions import convention
from kartoteka.evaluation.keyphrases import Evaluation, evaluate
from kartoteka.evaluation.tables import read_gold, read_predictions
from kartoteka.keyphrases.settings import KeyphraseSettings
from kartoteka.lexical.settings import LexicalSettings
from kartoteka.stages.suggest import Sources
from kartoteka.vectors.settings import VectorSettings

CONVENTION = "mean-f1"
RESAMPLES = 10_000
VOTERS = 20
BATCH = 500
#: Of computer-science abstracts with an archive of 70,000 like them.
REQUIRED = {"F1@5": 32.0, "F1@10": 26.5}
CLASSES = {"present F1@O": 37.3, "reordered R@O": 21.2, "mixed R@O": 14.5, "unseen R@O": 14.9}
ECE = 0.03


def held_out(document: dict[str, Any], share: float) -> bool:
    phrases = "\n".join(sorted(phrase.casefold() for phrase in document["keyphrases"]))
    return int.from_bytes(hashlib.blake2b(phrases.encode(), digest_size=4).digest()) < share * 2**32


def divide(options: argparse.Namespace) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The archive, and the documents whose keyphrases it is not to know."""
    archive = corpus.documents(options.corpus or [str(corpus.SAMPLES)], options.documents)
    if options.gold:
        asked = corpus.documents([options.gold], options.documents)
        ids = {document["id"] for document in asked}
        return [document for document in archive if document["id"] not in ids], asked
    asked = [document for document in archive if document["keyphrases"] and held_out(document, options.share)]
    ids = {document["id"] for document in asked}
    return [document for document in archive if document["id"] not in ids], asked


def write(file: Path, archive: Sequence[dict[str, Any]], asked: Sequence[dict[str, Any]]) -> None:
    with file.open("w", encoding="utf-8") as out:
        for document in [*archive, *(document | {"keyphrases": []} for document in asked)]:
            out.write(json.dumps(document, ensure_ascii=False) + "\n")


def votes(edition: editions.Edition, documents: pa.Table) -> pa.Table:
    """What the votes rule says of `documents` over the edition's own lexical index."""
    settings = KeyphraseSettings(method="votes", retrieval="lexical", neighbours=VOTERS)
    suggester = Sources(edition.path, settings, LexicalSettings(), VectorSettings()).open(ranker=False)
    found = []
    for start in range(0, documents.num_rows, BATCH):
        rows = documents.slice(start, BATCH)
        found.append(suggester.suggest(rows, None, pa.repeat(-1, rows.num_rows).to_numpy()))
    return pa.concat_tables(found)


def measure(edition: editions.Edition, asked: Sequence[dict[str, Any]]) -> Evaluation:
    """The edition's keyphrases and the votes on the documents asked for, against what was withheld of them."""
    own = {document["id"]: document["keyphrases"] for document in asked}
    ids = pa.array(own)
    documents = edition.table("documents").to_table(
        columns=["id", "title", "abstract", "lang"], filter=pc.field("id").isin(ids)
    )
    withheld = pa.array([own[identity] for identity in documents["id"].to_pylist()], pa.list_(pa.string()))
    gold = ds.dataset(documents.append_column("keyphrases", withheld))
    suggested = edition.table("keyphrases").to_table(filter=pc.field("id").isin(ids))
    systems = [
        read_predictions(ds.dataset(votes(edition, documents)), "votes"),
        read_predictions(ds.dataset(suggested), "kartoteka"),
    ]
    return evaluate(read_gold(gold), systems, convention(CONVENTION), resamples=RESAMPLES)


def table(measured: Evaluation) -> list[list[str]]:
    rows = []
    baseline, ours = (system.intervals for system in measured.systems)
    for a, b, change in zip(ours, baseline, measured.comparison, strict=True):
        change_text = f"{100 * change.difference:+.1f} [{100 * change.low:+.1f}, {100 * change.high:+.1f}]"
        rows.append(
            [a.name, *(f"{100 * i.value:.1f} [{100 * i.low:.1f}, {100 * i.high:.1f}]" for i in (a, b)), change_text]
        )
    return rows


def checks(measured: Evaluation, required: bool) -> list[Check]:
    """Those that hold for any archive; with `required`, those of the archive they were set for."""
    baseline, ours = ({i.name: 100 * i.value for i in system.intervals} for system in measured.systems)
    gain = next(change for change in measured.comparison if change.name == "F1@5")
    text = f"{100 * gain.difference:+.1f} [{100 * gain.low:+.1f}, {100 * gain.high:+.1f}]"
    found = [Check("F1@5 beside the votes", "> 0", text, gain.low > 0)]
    calibration = measured.systems[1].calibration
    if calibration is None:
        found.append(Check("expected calibration error", f"<= {ECE:g}", "scores are no probabilities", None))
    else:
        error = calibration.ece_equal_mass
        found.append(Check("expected calibration error", f"<= {ECE:g}", f"{error:.4f}", error <= ECE))
    if required:
        found += [
            Check(name, f">= {least:g}", f"{ours[name]:.1f}", ours[name] >= least) for name, least in REQUIRED.items()
        ]
        for name, least in CLASSES.items():
            least = max(least, baseline[name])
            found.append(Check(name, f">= {least:.1f} (votes)", f"{ours[name]:.1f}", ours[name] >= least))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", nargs="+", default=[])
    parser.add_argument("--gold", help="documents to ask for; the required figures are those of computer science")
    parser.add_argument("--documents", type=int, default=100_000, help="of the archive, at most")
    parser.add_argument("--share", type=float, default=0.15, help="of its annotated documents, without --gold")
    options = parser.parse_args()

    archive, asked = divide(options)
    with tempfile.TemporaryDirectory(prefix="kartoteka-bench-") as folder:
        file, place = Path(folder, "corpus.jsonl"), Path(folder, "edition")
        write(file, archive, asked)
        run = watch(["-m", "jobs", "reindex", str(file), "--edition", str(place)])
        edition = editions.open(place)
        measured = measure(edition, asked)
    quality = edition.manifest["quality"]
    annotated = sum(bool(document["keyphrases"]) for document in archive)
    outcome = Outcome("quality", "Keyphrases of documents whose own were withheld")
    outcome.notes += [
        f"{len(archive):,} documents of {', '.join(Path(path).name for path in options.corpus) or 'samples/'}, "
        f"{annotated:,} with keyphrases; {len(asked):,} more without theirs, {len(measured.ids):,} of them measured",
        f"ranked by {quality['system']}; re-indexed in {run.wall:,.0f} s, {run.cpu:,.0f} CPU-s",
        f"votes: {VOTERS} BM25 neighbours, summed scores, present phrases first; {measured.convention.describe()}",
        f"95 % bootstrap intervals over documents, {RESAMPLES:,} resamples",
    ]
    outcome.table("In percent", ["", "kartoteka", "votes", "difference"], table(measured))
    if quality["calibrated"]:
        held = quality["calibration"]["ece"]
        calibration = measured.systems[1].calibration
        outcome.notes.append(
            f"expected calibration error over {calibration.count:,} phrases: {calibration.ece_equal_mass:.4f} in "
            f"{calibration.bins} bins of equal mass, {calibration.ece_equal_width:.4f} of equal width; "
            f"{held:.4f} on the archive's own documents, held out by cross-fitting"
        )
    outcome.checks += checks(measured, bool(options.gold))
    outcome.values = measured.as_dict() | {"manifest_quality": quality}
    outcome.publish()


if __name__ == "__main__":
    main()
