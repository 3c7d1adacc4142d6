"""Train a model of the platform: `kartoteka train ranker --edition EDITION --out RUN [--config FILE] [--resume]`.

The workers, on this machine or on a cluster, share one loop (`kartoteka.training`); what is trained differs in data,
module and validation. Killed, a run goes on from its last checkpoint with the same command and --resume.

    python -m jobs train ranker --edition demo-edition --out run                                on this machine
    ray job submit --working-dir . -- python -m jobs train ranker --edition ... --out ...       on a cluster
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from jobs.cli import plain_errors
from jobs.config import SentimentConfig, TrainGeneratorConfig, TrainMlmConfig, TrainRankerConfig
from jobs.train_ngrams import sentiment_ngrams

if TYPE_CHECKING:
    from kartoteka.training.task import Task

app = typer.Typer(help="Train a model.", no_args_is_help=True)
app.command("sentiment-ngrams")(sentiment_ngrams)

Edition = Annotated[str, typer.Option(help="Edition whose annotated documents are learned from.")]
Out = Annotated[str, typer.Option(help="Folder of the run: a new one, or a URI.")]
Config = Annotated[str | None, typer.Option(help="TOML file with the settings.")]
Workers = Annotated[int | None, typer.Option(min=1, help="Workers; overrides the file.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with the run in --out from its last checkpoint.")]
Address = Annotated[str | None, typer.Option(help="Address of a Ray cluster; none: the job's own, or a local one.")]


@app.command()
def ranker(
    edition: Edition,
    out: Out,
    config: Config = None,
    encoder: Annotated[
        str, typer.Option(help="Encoder to start from: a directory, a hub id, or a ranker to go on from.")
    ] = "all-MiniLM-L6-v2",
    teacher: Annotated[
        str | None, typer.Option(help="Another ranker's directory: what it says of spans is learned too.")
    ] = None,
    workers: Workers = None,
    resume: Resume = False,
    address: Address = None,
) -> None:
    """Train the encoder that ranks keyphrases, on an edition's own annotated documents (SearchKeys)."""

    def task(chosen: TrainRankerConfig) -> Task:
        from kartoteka.ranking.task import RankerTask

        gpus = float(chosen.workers.gpu)
        return RankerTask(edition, encoder, chosen.ranker, chosen.keyphrases, chosen.lexical, teacher, gpus)

    _run(TrainRankerConfig, config, task, out, workers, resume, address)


@app.command()
def generator(
    edition: Edition,
    out: Out,
    config: Config = None,
    workers: Workers = None,
    resume: Resume = False,
    address: Address = None,
) -> None:
    """Train the baseline that writes keyphrases (BART-KP, One2Seq), on an edition's own annotated documents."""

    def task(chosen: TrainGeneratorConfig) -> Task:
        from kartoteka.generation.task import GeneratorTask

        return GeneratorTask(edition, chosen.generator)

    _run(TrainGeneratorConfig, config, task, out, workers, resume, address)


@app.command()
def sentiment(
    data: Annotated[list[str], typer.Option(help="Texts with labels, as JSON Lines or Parquet; repeatable.")],
    out: Out,
    config: Config = None,
    encoder: Annotated[
        str | None, typer.Option(help="Encoder to start from: a directory or a hub id; none: a small one is made.")
    ] = None,
    pseudolabels: Annotated[
        str | None, typer.Option(help="What `pseudolabel clusters` wrote: makes it the final step.")
    ] = None,
    workers: Workers = None,
    resume: Resume = False,
    address: Address = None,
) -> None:
    """Train the sentiment classifier: the base step, or with --pseudolabels the final one."""

    def task(chosen: SentimentConfig) -> Task:
        from kartoteka.sentiment.task import SentimentTask

        return SentimentTask(tuple(data), encoder, pseudolabels, chosen.sentiment)

    _run(SentimentConfig, config, task, out, workers, resume, address)


@app.command()
def mlm(
    texts: Annotated[list[str], typer.Option(help="Texts, as JSON Lines or Parquet, labels ignored; repeatable.")],
    out: Out,
    config: Config = None,
    encoder: Annotated[
        str | None, typer.Option(help="Masked-language model to go on from; none: a small one is made.")
    ] = None,
    workers: Workers = None,
    resume: Resume = False,
    address: Address = None,
) -> None:
    """Train an encoder by masked-language modelling: a start for `train sentiment --encoder`."""

    def task(chosen: TrainMlmConfig) -> Task:
        from kartoteka.pretraining.task import MlmTask

        return MlmTask(tuple(texts), encoder, chosen.mlm)

    _run(TrainMlmConfig, config, task, out, workers, resume, address)


def _run(
    kind: type,
    config: str | None,
    task: Callable[..., Task],
    out: str,
    workers: int | None,
    resume: bool,
    address: str | None,
) -> None:
    with plain_errors():
        from kartoteka import cluster
        from kartoteka.storage import Storage
        from kartoteka.training.run import train

        chosen = kind.from_toml(config)
        places = chosen.workers.model_copy(update={"count": workers} if workers else {})
        console = Console(highlight=False)
        with cluster.connected(address):
            about = train(
                task(chosen),
                chosen.training,
                places,
                Storage(out),
                console,
                resume=resume,
                command=" ".join(["kartoteka", *sys.argv[1:]]),
            )
        best = ", ".join(f"{name} {value:.4f}" for name, value in about["best"].items() if name != "step")
        console.print(f"best at step {about['best']['step']:,} of {about['steps']:,}: {best}")
        console.print(f"model: {Storage(out).path('model')}", soft_wrap=True)
        console.print(f"report: {Storage(out).path('report.html')}", soft_wrap=True)
