"""Pack: the fusion that an edition fitted beside a trained ranker goes into the ranker's directory.

    kartoteka reindex CORPUS... --edition EDITION --ranker DIR
    kartoteka pack EDITION --ranker DIR

The directory then holds both artefacts, encoder and fusion: a re-index of another archive that the encoder knows too
well, or that has too few annotated documents, ranks with what was learned here.
"""

from __future__ import annotations

from typing import Annotated

import typer

from jobs.cli import plain_errors


def pack(
    edition: Annotated[str, typer.Argument(help="Edition that was made with the ranker.")],
    ranker: Annotated[str, typer.Option(help="The ranker's directory.")],
) -> None:
    """Put the fusion of features that an edition fitted into the directory of its trained ranker."""
    from kartoteka import edition as editions
    from kartoteka.ranking.directory import DEFAULT_RANKER, add_fusion, open_ranker
    from kartoteka.stages.suggest import RANKER

    with plain_errors():
        if ranker == DEFAULT_RANKER:
            raise ValueError("ranker: the one that comes with Kartoteka stays as it is; fill a copy of it")
        opened, files = editions.open(edition), open_ranker(ranker)
        made_with = opened.manifest["models"].get("ranker") or {}
        if any(made_with.get(name) != files.identity.get(name) for name in ("encoder", "spans")):
            raise ValueError(f"edition: {edition} was not made with the ranker in {ranker}")
        if not opened.manifest["quality"].get("calibrated"):
            raise ValueError(f"edition: {edition} has fitted no fusion with its ranker")
        add_fusion(files.folder, opened.storage.get(RANKER))
        typer.echo(f"{files.folder}: fusion fitted on {edition}")
