"""Quantise: a trained ranker at half its size, its encoder's weights in eight bits.

    kartoteka quantise RUN/model --out DIR

The directory is taken wherever a ranker is. What it then finds must be measured in that form; a fusion that `pack` put
beside the encoder stays behind, and is fitted again.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from jobs.cli import plain_errors


def quantise(
    ranker: Annotated[str, typer.Argument(help="The ranker's directory.")],
    out: Annotated[str, typer.Option(help="The new directory.")],
) -> None:
    """Write a copy of a trained ranker with the weights of its encoder in eight bits."""
    with plain_errors():
        from kartoteka.display import size
        from kartoteka.ranking.directory import open_ranker
        from kartoteka.ranking.quantise import quantise as write

        before = open_ranker(ranker)
        write(before, Path(out))
        sizes = [sum(f.stat().st_size for f in Path(p).rglob("*") if f.is_file()) for p in (before.folder, out)]
        typer.echo(f"{out}: {size(sizes[1])}, from {size(sizes[0])}")
        if before.fusion is not None:
            typer.echo("its fusion stays behind: re-index with the new ranker, and pack again")
