"""The encoder: texts in, unit vectors out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import torch
from torch import Tensor

from kartoteka.encoding.amx import AmxBert, can_tile
from kartoteka.encoding.batches import plan_batches
from kartoteka.encoding.compiled import up_to
from kartoteka.encoding.family import can_pack
from kartoteka.encoding.int16 import Int16Bert, can_quantise
from kartoteka.encoding.models import ModelFiles, resolve_model
from kartoteka.encoding.packed import PackedBert
from kartoteka.encoding.pooling import normalise, pool
from kartoteka.encoding.precision import DTYPES, choose_device, choose_precision
from kartoteka.encoding.settings import EncodingSettings
from kartoteka.encoding.spans import WordPlaces
from kartoteka.encoding.tokens import TextTokeniser, Tokens
from kartoteka.encoding.transformer import PaddedTransformer, load_dense, load_tokenizer, load_transformer

if TYPE_CHECKING:
    from transformers import PreTrainedModel

#: Tokens of a batch when the settings leave it open: with kernels of our own the states of a batch stay in the cache.
_BUDGET = {"int16": 1024, "amx": 2048, "cpu": 4096, "cuda": 65536}
_Made = TypeVar("_Made")


class Encoder:
    """A loaded model. Make one with `load_encoder`."""

    def __init__(
        self, files: ModelFiles, device: torch.device, precision: str | None, settings: EncodingSettings
    ) -> None:
        self._files = files
        model = load_transformer(files)
        tokenizer, tokenizer_limit = load_tokenizer(files)
        limits = [positions(model), files.max_tokens, settings.max_tokens, tokenizer_limit]
        #: Tokens of a text that are read, special tokens included.
        self.max_tokens: int = min(limit for limit in limits if limit)
        prompt = files.prompt if settings.prompt is None else settings.prompt
        self._tokeniser = TextTokeniser(tokenizer, self.max_tokens, prompt=prompt, threads=settings.threads)
        self._dense = [load_dense(dense) for dense in files.dense]
        #: Numbers in the state of a token.
        self.width: int = model.config.hidden_size
        #: Numbers in a vector.
        self.dimension: int = self._dense[-1][0].out_features if self._dense else self.width * len(files.poolings)
        chosen = precision or settings.precision
        self._precision = choose_precision(chosen, device, int16=can_quantise(model, device))
        self._threads, own = 1, device.type
        if self._precision == "int16":
            self._states, self._threads, own = Int16Bert(model), settings.threads, "int16"
        elif self._precision == "bf16" and not settings.compile and can_tile(model, device):
            self._states, self._threads, own = AmxBert(model), settings.threads, "amx"
        elif device.type == "cpu" and can_pack(model):
            self._states = PackedBert(model, DTYPES[self._precision], compiled=settings.compile)
        else:
            self._states = PaddedTransformer(model, device, DTYPES[self._precision])
        self._budget = settings.token_budget or _BUDGET[own]

    @property
    def identity(self) -> dict[str, str | int | None]:
        """What a manifest says of the model: name, revision, sha256 of the weights, dimension, precision."""
        return {
            "name": self._files.name,
            "revision": self._files.revision,
            "sha256": self._files.sha256,
            "dimension": self.dimension,
            "precision": self._precision,
        }

    def tokenise(self, texts: Sequence[str]) -> Tokens:
        """Tokens of `texts`, each cut to `max_tokens`."""
        return self._tokeniser(texts)

    def tokenise_words(self, texts: Sequence[str], separator: str) -> tuple[Tokens, WordPlaces]:
        """The same, and where the words of title, `separator` and abstract lie among the tokens of each text."""
        return self._tokeniser.with_words(texts, separator)

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Vectors of `texts`: float32 [n, dimension], unit length."""
        return self.encode_tokens(self.tokenise(texts))

    def encode_tokens(self, tokens: Tokens) -> np.ndarray:
        """Vectors of tokenised texts: float32 [n, dimension], unit length (zeros for a text without any token).

        The same tokens give the same bits in every process of one machine and one set of versions.
        """
        vectors = np.zeros((len(tokens), self.dimension), np.float32)
        for batch, part in self._batches(tokens, self._vectors):
            vectors[batch] = part
        return vectors

    def project(self, tokens: Tokens, matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Vectors as `encode_tokens` gives them, and the state of each token times `matrix` float32 [width, c].

        The products are float32 [tokens, c], in the order of the tokens. Raises `ValueError`: `matrix` is of another
        width.
        """
        if matrix.shape[0] != self.width:
            raise ValueError(f"matrix: {matrix.shape[0]} rows for states of {self.width} numbers")
        columns = torch.from_numpy(np.ascontiguousarray(matrix, np.float32))

        def work(states: Tensor, lengths: list[int]) -> tuple[np.ndarray, np.ndarray]:
            return self._vectors(states, lengths), _product(states, lengths, columns).numpy()

        vectors = np.zeros((len(tokens), self.dimension), np.float32)
        products = np.zeros((len(tokens.ids), matrix.shape[1]), np.float32)
        for batch, (part, rows) in self._batches(tokens, work):
            vectors[batch] = part
            bounds = np.cumsum(tokens.lengths[batch])[:-1]
            for number, own in zip(batch, np.split(rows, bounds), strict=True):
                products[tokens.offsets[number] : tokens.offsets[number + 1]] = own
        return vectors, products

    def _batches(
        self, tokens: Tokens, work: Callable[[Tensor, list[int]], _Made]
    ) -> Iterator[tuple[np.ndarray, _Made]]:
        """The numbers of the texts of each batch, and what `work` makes of their packed states and their lengths."""
        room = up_to(tokens.lengths, self._states.rows)  # what a text takes up: its tokens, or whole tiles of them
        batches = plan_batches(room, self._budget, padded=self._states.padded)
        run = partial(self._run_batch, tokens, work)
        if self._threads == 1:
            yield from ((batch, run(batch)) for batch in batches)
        else:
            with ThreadPoolExecutor(self._threads) as workers:
                yield from zip(batches, workers.map(run, batches), strict=True)

    @torch.inference_mode()
    def _run_batch(self, tokens: Tokens, work: Callable[[Tensor, list[int]], _Made], batch: np.ndarray) -> _Made:
        """What `work` makes of the texts numbered in `batch`, which run together."""
        pieces = [tokens.ids[tokens.offsets[i] : tokens.offsets[i + 1]] for i in batch]
        lengths = [len(piece) for piece in pieces]
        ids = torch.from_numpy(np.concatenate(pieces).astype(np.int64))
        return work(self._states(ids, lengths), lengths)

    def _vectors(self, states: Tensor, lengths: list[int]) -> np.ndarray:
        pooled = pool(states, lengths, self._files.poolings).cpu()
        for dense in self._dense:
            pooled = dense(pooled)
        return normalise(pooled).numpy()


def _product(states: Tensor, lengths: list[int], matrix: Tensor) -> Tensor:
    """Packed `states` [tokens, d] times `matrix` float32 [d, c], in fp32: float32 [tokens, c] on the CPU.

    On a CPU text by text, each in memory of its own: a product then has the same bits in any company of other texts.
    """
    if states.is_cuda:
        return (states.float() @ matrix.to(states.device)).cpu()
    return torch.cat([piece.to(torch.float32, copy=True) @ matrix for piece in torch.split(states, lengths)])


def load_encoder(
    model: str,
    *,
    revision: str | None = None,
    device: str = "auto",
    precision: str | None = None,
    settings: EncodingSettings | None = None,
) -> Encoder:
    """Load `model`: a directory, a hub id, or `demo`.

    `precision` overrides that of `settings`. Sets the number of torch's threads for the whole process: call it in the
    process that encodes. Raises `ValueError`, one line naming `encoder`, `device` or `precision`.
    """
    settings = settings or EncodingSettings()
    chosen = choose_device(device)
    files = resolve_model(model, revision)
    torch.set_num_threads(settings.threads)
    return Encoder(files, chosen, precision, settings)


def positions(model: PreTrainedModel) -> int | None:
    """Tokens that the position embeddings have room for; None where there is no limit."""
    room = getattr(model.config, "max_position_embeddings", None)
    return room - unused_positions(model) if room and room > 0 else None


def unused_positions(model: PreTrainedModel) -> int:
    """Vectors at the beginning of the position embeddings that no token uses.

    RoBERTa, and what came of it (CamemBERT, MPNet), counts positions from behind the padding id on. That is the id that
    its position embeddings know, not always that of the config: MPNet's is 1 in any case.
    """
    places = getattr(getattr(model.base_model, "embeddings", None), "position_embeddings", None)
    padding = getattr(places, "padding_idx", None)
    return 0 if padding is None else padding + 1
