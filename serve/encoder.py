"""The encoder: texts to unit vectors, in batches bounded by their tokens, as in the re-index."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any, Literal, NamedTuple
from weakref import WeakValueDictionary

import numpy as np
from ray import serve

from kartoteka import edition
from kartoteka.encoding.settings import EncodingSettings
from kartoteka.stages.embed import Encoding
from kartoteka.telemetry import carrier, span
from serve import figures
from serve.editions import Context, EditionRef, Held
from serve.settings import AppSettings

if TYPE_CHECKING:
    from kartoteka.encoding.encoder import Encoder as Model
    from kartoteka.encoding.tokens import Tokens

#: Whose vectors are asked for: those of the edition, or those of the trained ranker it was made with.
Whose = Literal["encoder", "ranker"]


@dataclass(frozen=True, slots=True)
class Piece:
    """What one call adds to a batch: some texts' tokens, for one model."""

    model: Model
    tokens: Tokens
    trace: dict[str, str]


class Encoded(NamedTuple):
    """`vectors` float32 [n, d] of unit length, and how many `tokens` of each text were read, int64 [n]."""

    vectors: np.ndarray
    tokens: np.ndarray


def count_tokens(pieces: list[Piece]) -> int:
    """Tokens of a batch."""
    return sum(len(piece.tokens.ids) for piece in pieces)


@serve.deployment
class Encoder:
    """Replicas hold the weights of the editions' models, each once."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self.settings = AppSettings.parse(settings)
        self.held = Held(self._open)
        self._models: WeakValueDictionary[tuple[str, str], Model] = WeakValueDictionary()  # the editions hold them
        self._loading = Lock()
        self._thread = ThreadPoolExecutor(1)  # one batch at a time: a second would share its core
        self._most = self.settings.batch_tokens
        self._batch.set_max_batch_size(self._most)
        self._batch.set_batch_wait_timeout_s(self.settings.batch_wait_s)

    async def reconfigure(self, config: dict[str, Any]) -> None:
        """Load the models of another edition."""
        await self.held.take_up(config)

    async def holds(self, context: Context) -> dict[str, Any]:
        """The identity of the edition's encoder, once it is loaded. Raises `ValueError`: it cannot be."""
        return (await self.held.get(context.edition))["encoder"].identity

    async def encode(self, context: Context, texts: list[str], whose: Whose = "encoder") -> Encoded:
        """Vectors of `texts`. Raises `ValueError`: the edition has no such model."""
        models = await self.held.get(context.edition)
        if whose not in models:
            raise ValueError(f"{whose}: the edition was made without one")
        with span("encode", {"texts": len(texts)}, carriers=context.traces):
            tokens = await asyncio.to_thread(models[whose].tokenise, texts)
            parts = cut(tokens, self._most)
            pieces = [Piece(models[whose], part, carrier()) for part in parts]
            return Encoded(np.concatenate(await asyncio.gather(*map(self._batch, pieces))), tokens.lengths)

    @serve.batch(max_batch_size=4096, batch_wait_timeout_s=0.002, batch_size_fn=count_tokens)
    async def _batch(self, pieces: list[Piece]) -> list[np.ndarray]:
        texts, tokens = sum(len(piece.tokens) for piece in pieces), count_tokens(pieces)
        figures.batch(texts, tokens)
        with span("batch", {"texts": texts, "tokens": tokens}, carriers=[piece.trace for piece in pieces]):
            return await asyncio.get_running_loop().run_in_executor(self._thread, encode_pieces, pieces)

    def _open(self, ref: EditionRef) -> dict[str, Model]:
        manifest = edition.open(ref.path).manifest
        settings = EncodingSettings.parse(manifest["config"]["encoding"])
        made_with = manifest["models"]["encoder"]
        given = self.settings.encoder is not None
        encoding = Encoding(
            self.settings.encoder if given else made_with["name"],
            self.settings.revision if given else made_with["revision"],
            settings,
        )
        models = {"encoder": self._load(encoding, made_with["sha256"])}
        if "ranker" in manifest["models"]:
            from kartoteka.ranking.directory import open_ranker
            from kartoteka.stages.trained import EncodeTrained

            files = open_ranker(self.settings.ranker or manifest["models"]["ranker"]["name"])
            encoding = EncodeTrained.encoding(files, settings, None)
            models["ranker"] = self._load(encoding, manifest["models"]["ranker"]["encoder"])
        return models

    def _load(self, encoding: Encoding, sha256: str) -> Model:
        """The model whose weights made the edition, from where it is now."""
        key = (sha256, encoding.settings.model_dump_json())
        with self._loading:  # two editions that open at once may have one model
            model = self._models.get(key)
            if model is None:
                model = encoding.load("auto")
                if model.identity["sha256"] != sha256:
                    raise ValueError(f"encoder: {encoding.model} has not the weights that the edition was made with")
                model.encode(["warm up"])  # the first batch loads and compiles what the others find ready
                self._models[key] = model
                self._most = max(self._most, model.max_tokens)  # the longest text must fit a batch
                self._batch.set_max_batch_size(self._most)
        return model


def cut(tokens: Tokens, most: int) -> list[Tokens]:
    """`tokens` in consecutive pieces of at most `most` tokens; a text that is longer is a piece by itself."""
    pieces, first = [], 0
    while first < len(tokens):
        last = int(np.searchsorted(tokens.offsets, tokens.offsets[first] + most, side="right")) - 1
        last = max(last, first + 1)
        pieces.append(tokens.slice(first, last))
        first = last
    return pieces


def encode_pieces(pieces: list[Piece]) -> list[np.ndarray]:
    """Vectors float32 [n, d] of each piece; the pieces of one model run together."""
    from kartoteka.encoding.tokens import Tokens

    found: dict[int, np.ndarray] = {}
    for model in {id(piece.model): piece.model for piece in pieces}.values():
        own = [number for number, piece in enumerate(pieces) if piece.model is model]
        vectors = model.encode_tokens(Tokens.concatenate(pieces[number].tokens for number in own))
        bounds = np.cumsum([len(pieces[number].tokens) for number in own])[:-1]
        found |= zip(own, np.split(vectors, bounds), strict=True)
    return [found[number] for number in range(len(pieces))]
