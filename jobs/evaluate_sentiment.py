"""Measure a sentiment classifier: `kartoteka evaluate sentiment PREDICTIONS|MODEL --gold GOLD [--against OTHER]`.

    kartoteka evaluate sentiment RUN/model --gold RUN/data/validation.parquet --html sentiment.html
    kartoteka evaluate sentiment FINAL/model --gold gold.jsonl.zst --against BASE/model --json scores.json
    kartoteka evaluate sentiment predictions.parquet --gold gold.jsonl --against baseline.parquet

Gold: `id`, `label`, `text`, and where known `source`. Predictions: `id`, `label`, and where known the columns
`negative`, `neutral`, `positive` with probabilities. In place of predictions a model's directory (or hub id) labels the
gold texts now, and its vectors are measured too; `NAME=` before either is what it is called. `--against` is what it is
compared with: the one before.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jobs.cli import plain_errors
from jobs.tables import print_table

if TYPE_CHECKING:
    import numpy as np

    from kartoteka.evaluation.classification import GoldTexts, Labels


def sentiment(
    predictions: Annotated[str, typer.Argument(metavar="PREDICTIONS|MODEL", help="What is measured.")],
    gold: Annotated[list[str], typer.Option(help="Gold texts, one or more files.")],
    against: Annotated[str | None, typer.Option(help="Predictions or a model to compare with.")] = None,
    config: Annotated[str | None, typer.Option(help="TOML file whose [sentiment.labels] maps gold labels.")] = None,
    resamples: Annotated[int, typer.Option(min=100, help="Bootstrap resamples and randomisations.")] = 10_000,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    bins: Annotated[int, typer.Option(min=1, help="Bins of the calibration error.")] = 15,
    errors: Annotated[int, typer.Option(min=0, help="Errors nearest to the border that are shown.")] = 20,
    device: Annotated[str, typer.Option(help="For models: auto, cpu, cuda, cuda:1, ...")] = "auto",
    threads: Annotated[int, typer.Option(min=1, help="Threads on a CPU.")] = 1,
    json: Annotated[Path | None, typer.Option(help="Write the whole result here.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write a page with confusion matrices here.")] = None,
) -> None:
    """Macro-F1, classes, sources, confusion, calibration, errors; McNemar's test; the models' vectors."""
    with plain_errors():
        import orjson

        from kartoteka.evaluation.classification import evaluate
        from kartoteka.evaluation.classification_tables import tables
        from kartoteka.evaluation.space import separation
        from kartoteka.report.classification import build

        texts, refused = _gold(gold, config)
        systems, spaces = [], {}
        for given in filter(None, (against, predictions)):
            labels, vectors = _system(given, texts, device, threads)
            systems.append(labels)
            if vectors is not None:
                spaces[labels.name] = separation(vectors, texts.labels)
        result = evaluate(texts, systems, resamples=resamples, seed=seed, bins=bins, errors=errors)
        typer.echo(f"{len(texts.ids):,} gold texts; left out: {refused or 'none'}")
        for table in tables(result, spaces):
            print_table(table)
        if json is not None:
            json.write_bytes(orjson.dumps(result.as_dict() | {"spaces": spaces}, option=orjson.OPT_INDENT_2) + b"\n")
        if html is not None:
            html.write_text(build(result, spaces), encoding="utf-8")


def _gold(files: list[str], config: str | None) -> tuple[GoldTexts, str]:
    """The texts that have a label of the three classes, and in words which rows have none."""
    import numpy as np

    from jobs.config import SentimentConfig
    from kartoteka.evaluation.classification import GoldTexts
    from kartoteka.sentiment.texts import CLASSES, UNLABELLED, read_texts

    settings = SentimentConfig.from_toml(config).sentiment
    found = read_texts(files, settings.labels, tests=True)
    unlabelled = found.labels.count(UNLABELLED)
    labelled = found.take(i for i, label in enumerate(found.labels) if label != UNLABELLED)
    if not len(labelled):
        raise ValueError(
            f"gold: no text has one of the labels {', '.join(CLASSES)} (map them under [sentiment.labels])"
        )
    if len(set(labelled.ids)) < len(labelled):
        raise ValueError("gold: an `id` occurs twice")
    refused = "; ".join(f"{count:,} {reason}" for reason, count in found.reasons().items())
    labels = np.array(labelled.labels, np.int64)
    bare = unlabelled - sum(reason.startswith("label") for _, reason in found.refused)
    refused = "; ".join(filter(None, [refused, f"{bare:,} without a label" if bare else ""]))
    return GoldTexts(CLASSES, labelled.ids, labelled.texts, labelled.sources, labels), refused


def _system(given: str, gold: GoldTexts, device: str, threads: int) -> tuple[Labels, np.ndarray | None]:
    """What predictions or a model say of the gold texts; the vectors where it is a model."""
    from kartoteka.evaluation.classification import Labels
    from kartoteka.evaluation.labels import read_labels
    from kartoteka.sentiment.classify import open_classifier

    named, found, path = given.partition("=")
    name, path = (named, path) if found else (given, given)
    if Path(path).is_file():
        return read_labels(path, gold.ids, gold.classes, name), None
    probabilities, vectors = open_classifier(path, device, threads).classify(gold.texts)
    return Labels(name, probabilities.argmax(axis=1), probabilities.astype(float)), vectors
