"""Pseudo-labels for the final step: `kartoteka pseudolabel clusters --model BASE --data FILE... --out FILE`.

    kartoteka train sentiment --data gold.jsonl --data others.jsonl --out base
    kartoteka pseudolabel clusters --model base/model --data gold.jsonl --data others.jsonl --out pseudo.parquet
    kartoteka train sentiment --data gold.jsonl --data others.jsonl --pseudolabels pseudo.parquet --out final

The base model labels the texts; K-Means groups its vectors; a label is reliable where the cluster is pure and the model
is sure. A second classifier (`--second`), of n-grams say, sees other things: then the labels are those of the two
together, and one on which they differ is not believed. A text that has a gold label keeps it. Beside the output,
`*.passing.parquet` says how many texts of each class and source every pair of thresholds lets through.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from jobs.cli import plain_errors
from jobs.config import SentimentConfig
from jobs.tables import print_table

app = typer.Typer(no_args_is_help=True, help="Label texts by a model, where clusters confirm it.")


@app.callback()
def _commands() -> None:
    """Label texts by a model, where clusters confirm it."""


@app.command()
def clusters(
    model: Annotated[str, typer.Option(help="The base model: a directory or a hub id.")],
    data: Annotated[list[str], typer.Option(help="Texts, as JSON Lines or Parquet; repeatable.")],
    out: Annotated[Path, typer.Option(help="Parquet file of the labels.")],
    config: Annotated[str | None, typer.Option(help="TOML file with the settings.")] = None,
    purity: Annotated[float | None, typer.Option(min=0, max=1, help="Least purity; overrides the file.")] = None,
    probability: Annotated[
        float | None, typer.Option(min=0, max=1, help="Least probability; overrides the file.")
    ] = None,
    second: Annotated[
        str | None, typer.Option(help="A second classifier, of any kind, that must say the same.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, ...")] = "auto",
    threads: Annotated[int, typer.Option(min=1, help="Threads on a CPU.")] = 1,
) -> None:
    """Labels of pure clusters, for `train sentiment --pseudolabels`."""
    with plain_errors():
        given = {"purity": purity, "probability": probability}
        chosen = SentimentConfig.from_toml(config)
        thresholds = chosen.pseudolabels.model_dump() | {k: v for k, v in given.items() if v is not None}
        run(model, data, out, chosen, thresholds, device, threads, second)


def run(
    model: str,
    files: list[str],
    out: Path,
    config: SentimentConfig,
    thresholds: dict[str, Any],
    device: str,
    threads: int,
    second: str | None = None,
) -> None:
    """The job. Raises `ValueError` for what is wrong with the arguments."""
    import pyarrow as pa

    from kartoteka.clustering.local import cluster
    from kartoteka.sentiment.classify import open_classifier
    from kartoteka.sentiment.opinions import together
    from kartoteka.sentiment.pseudolabels import PseudolabelSettings, pseudolabel
    from kartoteka.sentiment.texts import read_texts, without_copies
    from kartoteka.storage import Storage

    if out.suffix != ".parquet":
        raise ValueError(f"out: {out} does not end in .parquet")
    settings = PseudolabelSettings.parse(thresholds)
    texts = without_copies(read_texts(files, config.sentiment.labels))
    probabilities, vectors = open_classifier(model, device, threads).classify(texts.texts)
    if vectors is None:
        raise ValueError(f"model: {model} is a classifier by n-grams: it has no vectors to make clusters of")
    numbers, _, centroids = cluster(vectors, config.clusters, threads)
    agreed = None
    if second is not None:
        probabilities, agreed = together(
            probabilities, open_classifier(second, device, threads).classify(texts.texts)[0]
        )
    table, passing = pseudolabel(texts, probabilities, numbers, len(centroids), settings, agreed)
    place = Storage(out.parent)
    place.put_table(out.name, table)
    place.put_table(f"{out.stem}.passing.parquet", pa.Table.from_pylist(passing))
    for reason, count in texts.reasons().items():
        typer.echo(f"{count:,} rows: {reason}")
    print_table(_table(passing))
    believed = sum(table["reliable"].to_numpy() & ~table["gold"].to_numpy())
    typer.echo(f"{out}: {len(texts):,} texts in {len(centroids):,} clusters, {believed:,} labels believed")


def _table(passing: list[dict[str, Any]]) -> Any:
    from kartoteka.evaluation.report import Table

    rows = [
        [
            row["source"] or "(none)", row["class"], f"{row['purity']:.2f}", f"{row['probability']:.2f}",
            f"{row['texts']:,}", f"{row['hard']:,}", f"{row['soft']:,}",
        ]
        for row in passing
    ]  # fmt: skip
    header = ["source", "class", "purity >=", "probability >=", "texts", "pass (hard)", "pass (soft)"]
    return Table("Unlabelled texts that the thresholds let through", header, rows)
