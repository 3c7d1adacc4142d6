"""Make an API key: the secret is shown once; the file keeps its hash.

kartoteka key NAME --keys FILE [--scope SCOPE ...] [--rate N] [--burst N]
"""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from jobs.cli import plain_errors


def key(
    name: Annotated[str, typer.Argument(help="Whose key it is.")],
    keys: Annotated[str, typer.Option(help="TOML file of keys, to which this one is added.")],
    scope: Annotated[list[str] | None, typer.Option(help="What it may ask; none: everything.")] = None,
    rate: Annotated[float, typer.Option(min=0.01, help="Requests a second.")] = 20.0,
    burst: Annotated[int, typer.Option(min=1, help="Requests at once.")] = 40,
) -> None:
    """Make an API key."""
    with plain_errors():
        from serve.access import add_key

        secret = add_key(keys, name, scope, rate, burst)
        Console(highlight=False, soft_wrap=True).print(secret)
