"""A trained classifier in use: texts in, probabilities and vectors out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kartoteka.encoding.models import ModelFiles, resolve_model
from kartoteka.encoding.tokens import TextTokeniser
from kartoteka.sentiment.texts import CLASSES

if TYPE_CHECKING:
    import torch

    from kartoteka.sentiment.model import SentimentModel

#: Tokens that run together, padding included.
_BUDGET = 8192


@dataclass(frozen=True)
class Classifier:
    """A model on its device, and the tokeniser that cuts texts to what it reads. Make one with `open_classifier`."""

    model: SentimentModel
    tokeniser: TextTokeniser
    device: torch.device
    identity: dict[str, Any]

    def classify(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Probabilities float32 [n, 3] in the order of `CLASSES`, and unit vectors float32 [n, d].

        The same texts give the same bits in every process of one machine.
        """
        import torch

        from kartoteka.training.contrastive import encode_texts

        tokens = self.tokeniser(texts)
        ids, offsets = (torch.from_numpy(array).to(self.device) for array in (tokens.ids, tokens.offsets))
        with torch.inference_mode():
            size = len(CLASSES)
            found = encode_texts(
                self.model, ids, offsets, dimension=size + self.model.dimension, micro_tokens=_BUDGET
            ).cpu()
            return torch.softmax(found[:, :size], dim=1).numpy(), found[:, size:].numpy()


def open_classifier(path: str, device: str = "auto", threads: int = 1) -> Classifier:
    """Load a classifier: a directory that `train sentiment` wrote, any other of the three classes, or a hub id.

    Sets the number of torch's threads for the whole process. Raises `ValueError`: there is none, it cannot be loaded,
    or its classes are others.
    """
    import torch

    from kartoteka.encoding.encoder import positions
    from kartoteka.encoding.precision import choose_device
    from kartoteka.encoding.transformer import load_tokenizer
    from kartoteka.sentiment.model import SentimentModel

    files = resolve_model(path)
    torch.set_num_threads(threads)
    chosen = choose_device(device)
    model = SentimentModel(files.directory).eval().requires_grad_(False).to(chosen)
    tokenizer, limit = load_tokenizer(files)
    reads = min(filter(None, [positions(model.model.config), limit]))
    return Classifier(model, TextTokeniser(tokenizer, reads), chosen, _identity(path, files))


def identity_of(path: str) -> dict[str, Any]:
    """What decides labels given by the classifier in `path`: `name` and `sha256` of its weights.

    Raises `ValueError`: there is none. Loads nothing.
    """
    try:
        return _identity(path, resolve_model(path))
    except ValueError as error:
        raise ValueError(str(error).replace("encoder:", "classifier:", 1)) from None


def _identity(path: str, files: ModelFiles) -> dict[str, Any]:
    return {"name": Path(path).name, "sha256": files.sha256}
