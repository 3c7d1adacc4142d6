"""A trained classifier in use, of either kind: hashed n-grams, or any sequence classifier of transformers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from kartoteka.sentiment import ngrams

#: The small classifier that comes with Kartoteka, by this name wherever a classifier is asked for.
#: A folder of the same name is `./default`.
DEFAULT_CLASSIFIER = "default"


class Classifier(Protocol):
    """What labels texts. Make one with `open_classifier`."""

    @property
    def identity(self) -> dict[str, Any]:
        """What decides the labels, as `identity_of` says."""

    def classify(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray | None]:
        """Probabilities float32 [n, 3] in the order of `CLASSES`, and unit vectors float32 [n, d] where it has any.

        The same texts give the same bits in every process of one machine.
        """


def open_classifier(path: str, device: str = "auto", threads: int = 1) -> Classifier:
    """Load a classifier: `default`, a directory that `train sentiment` or `train sentiment-ngrams` wrote, any other of
    the three classes, or a hub id.

    `device` and `threads` are for transformers, and set the number of torch's threads for the whole process. Raises
    `ValueError`: there is none, it cannot be loaded, or its classes are others.
    """
    if (folder := _of_ngrams(path)) is not None:
        return ngrams.open_ngrams(folder, _name(path))
    from kartoteka.sentiment.transformer import open_transformer

    return open_transformer(path, _name(path), device, threads)


def identity_of(path: str) -> dict[str, Any]:
    """What decides labels given by the classifier in `path`: `name` and `sha256` of its weights.

    Raises `ValueError`: there is none. Loads nothing.
    """
    if (folder := _of_ngrams(path)) is not None:
        return {"name": _name(path), "sha256": ngrams.described(folder).sha256}
    from kartoteka.sentiment.transformer import sha256_of

    return {"name": _name(path), "sha256": sha256_of(path)}


def _of_ngrams(path: str) -> Path | None:
    """The folder of a classifier by n-grams; None where `path` is of another kind."""
    if path == DEFAULT_CLASSIFIER:
        return Path(__file__).with_name("default")
    folder = Path(path).expanduser()
    return folder if any((folder / name).exists() for name in (ngrams.DESCRIPTION, ngrams.WEIGHTS)) else None


def _name(path: str) -> str:
    return Path(path).name
