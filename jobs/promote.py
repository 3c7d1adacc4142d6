"""Promote an edition: check it, and let the pointer say it. Rolling back is the same command with the former edition.

    kartoteka promote EDITION [--pointer FILE] [--address RAY]

A `kartoteka serve --edition POINTER` on this machine follows the pointer by itself; an app on a cluster is told with
`--address`. An edition that is not whole is refused, and the one before it goes on being served.
"""

from __future__ import annotations

import os
from typing import Annotated

import typer
from rich.console import Console

from jobs.cli import plain_errors


def promote(
    edition: Annotated[str, typer.Argument(metavar="EDITION", help="The edition to be served.")],
    pointer: Annotated[str | None, typer.Option(help="The pointer; none: `current.json` beside the edition.")] = None,
    address: Annotated[str | None, typer.Option(help="Address of the Ray cluster whose app is to be told.")] = None,
) -> None:
    """Let an edition be served."""
    with plain_errors():
        run(edition if "://" in edition else os.path.abspath(edition), pointer, address)


def run(edition: str, pointer: str | None, address: str | None) -> None:
    """Check, tell the app, move the pointer. Raises `ValueError`: the edition, or the app, refuses."""
    from kartoteka import cluster
    from kartoteka import pointer as pointers
    from kartoteka.online.opened import open_edition_checked

    console = Console(highlight=False)
    open_edition_checked(edition, whole=True)
    where = pointer or pointers.beside(edition)
    if address:
        from serve.editions import EditionRef
        from serve.rollout import is_running, turn_to

        with cluster.connected(address):
            if not is_running():
                raise ValueError(f"address: no app is deployed on the cluster {address}")
            turn_to(EditionRef.of(edition))
    pointers.move(where, edition)
    console.print(f"{where} says {edition}")
