"""Train the small sentiment classifier: `kartoteka train sentiment-ngrams --data FILE ... --out RUN [--config FILE]`.

    kartoteka train sentiment-ngrams --data gold.jsonl --out run --config sentiment.toml
    kartoteka reindex CORPUS --edition EDITION --classifier run/model

Hashed n-grams and a logistic regression: a minute on one core, no Ray, no checkpoints. Data and labels are those of
`train sentiment`; its section of the configuration is `[ngrams]`.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from jobs.cli import plain_errors


def sentiment_ngrams(
    data: Annotated[list[str], typer.Option(help="Texts with labels, as JSON Lines or Parquet; repeatable.")],
    out: Annotated[str, typer.Option(help="Folder of the run: a new one, or a URI.")],
    config: Annotated[str | None, typer.Option(help="TOML file with the settings.")] = None,
) -> None:
    """Train the sentiment classifier by hashed n-grams: small, fast, on one core."""
    with plain_errors():
        from jobs.config import SentimentConfig
        from kartoteka.sentiment.ngram_run import MODEL, REPORT, train_ngrams
        from kartoteka.storage import Storage

        chosen, run = SentimentConfig.from_toml(config), Storage(out)
        about = train_ngrams(data, chosen.sentiment, chosen.ngrams, run, " ".join(["kartoteka", *sys.argv[1:]]))
        counts = ", ".join(f"{about['data'][name]:,} {name}" for name in ("training", "validation", "test"))
        typer.echo(f"texts: {counts}; left out: {about['data']['refused'] or 'none'}")
        typer.echo(", ".join(f"{name} {value:.4f}" for name, value in about["best"].items()))
        typer.echo(f"model: {run.path(MODEL)}")
        typer.echo(f"report: {run.path(REPORT)}")
