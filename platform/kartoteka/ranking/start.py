"""What training begins from: a model, or a ranker trained before, with its head for spans and what it has seen."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kartoteka.encoding.models import ModelFiles, resolve_model
from kartoteka.ranking.directory import DEFAULT_RANKER, DESCRIPTION, SPANS, RankerFiles, open_ranker


@dataclass(frozen=True)
class Start:
    """A `model` to start from, and the `ranker` whose encoder it is, if it is one's."""

    model: ModelFiles
    ranker: RankerFiles | None = None

    @property
    def directory(self) -> str:
        """What `resolve_model` finds the model by."""
        return str(self.ranker.encoder) if self.ranker is not None else self.model.name

    @property
    def identity(self) -> dict[str, Any]:
        """What decides the first weights, and so the data of a run; where a ranker's directory lies does not.

        With the `base` of a ranker, which the card names.
        """
        if self.ranker is None:
            return {"name": self.model.name, "sha256": self.model.sha256}
        own = {"name": "a ranker trained before", "sha256": self.model.sha256, "spans": self.ranker.spans_sha256}
        return own | {"base": self.ranker.base}

    def write_head(self, folder: Path) -> None:
        """Put the ranker's head, if there is one, beside the model that is made of it."""
        if self.ranker is not None and self.ranker.spans is not None:
            shutil.copyfile(self.ranker.spans, folder / SPANS)


def open_start(encoder: str) -> Start:
    """What `--encoder` names: a model's directory or hub id, or a ranker's directory or `default`.

    Raises `ValueError`, one line that begins with `encoder:`; see `resolve_model` and `open_ranker`.
    """
    if encoder != DEFAULT_RANKER and not (Path(encoder).expanduser() / DESCRIPTION).is_file():
        return Start(resolve_model(encoder))
    try:
        ranker = open_ranker(encoder)
    except ValueError as error:
        raise ValueError(f"encoder: {error}") from None
    return Start(resolve_model(str(ranker.encoder)), ranker)
