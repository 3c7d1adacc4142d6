"""A classifier of transformers in use: texts in, probabilities and vectors out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from kartoteka.encoding.models import resolve_model
from kartoteka.encoding.tokens import TextTokeniser
from kartoteka.sentiment.texts import CLASSES

if TYPE_CHECKING:
    import torch

    from kartoteka.sentiment.model import SentimentModel

#: Tokens that run together, padding included.
_BUDGET = 8192


@dataclass(frozen=True)
class TransformerClassifier:
    """A model on its device, and the tokeniser that cuts texts to what it reads. Make one with `open_transformer`."""

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


def open_transformer(path: str, name: str, device: str, threads: int) -> TransformerClassifier:
    """Load the model in `path`, a directory or a hub id, which goes by `name`.

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
    reads = min(filter(None, [positions(model.model), limit]))
    return TransformerClassifier(model, TextTokeniser(tokenizer, reads), chosen, {"name": name, "sha256": files.sha256})


def sha256_of(path: str) -> str:
    """Hash of the weights of the model in `path`; raises `ValueError`: there is none. Loads nothing."""
    try:
        return resolve_model(path).sha256
    except ValueError as error:
        raise ValueError(str(error).replace("encoder:", "classifier:", 1)) from None
