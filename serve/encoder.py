"""The encoder: texts to unit vectors and span scores, in batches bounded by their tokens, as in the re-index."""

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
from kartoteka.encoding.spans import read_head, span_scores
from kartoteka.stages.embed import Encoding
from kartoteka.telemetry import carrier, span
from serve import figures
from serve.editions import Context, EditionRef, Held
from serve.settings import AppSettings

if TYPE_CHECKING:
    from kartoteka.encoding.encoder import Encoder as Model
    from kartoteka.encoding.spans import SpanHead, Spans, WordPlaces
    from kartoteka.encoding.tokens import Tokens

#: Whose vectors are asked for: those of the edition, or those of the trained ranker it was made with.
Whose = Literal["encoder", "ranker"]
#: Vectors float32 [n, d] of a piece, and what its head makes of each token, float32 [tokens, 2 L].
Made = tuple[np.ndarray, np.ndarray | None]


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model, and what scores the spans of title, `separator` and abstract where it has a head for them."""

    model: Model
    head: SpanHead | None = None
    separator: str = ""

    def tokenise(self, texts: list[str]) -> tuple[Tokens, WordPlaces | None]:
        """The tokens of `texts`, and for a head the places of their words."""
        if self.head is None:
            return self.model.tokenise(texts), None
        return self.model.tokenise_words(texts, self.separator)

    def encoded(self, tokens: Tokens, places: WordPlaces | None, pieces: list[Made]) -> Encoded:
        """The texts of `tokens` from what was made of their pieces, in order."""
        vectors, products = zip(*pieces, strict=True)
        spans = None
        if places is not None:
            spans = span_scores(np.concatenate(products), self.head.bias, tokens.offsets, places)
        return Encoded(np.concatenate(vectors), tokens.lengths, spans)


@dataclass(frozen=True, slots=True)
class Piece:
    """What one call adds to a batch: some texts' tokens, for one model and its head."""

    model: Model
    head: SpanHead | None
    tokens: Tokens
    trace: dict[str, str]


class Encoded(NamedTuple):
    """`vectors` float32 [n, d] of unit length, and how many `tokens` of each text were read, int64 [n].

    `spans`: the scores of their spans, by a model that has a head for them.
    """

    vectors: np.ndarray
    tokens: np.ndarray
    spans: Spans | None = None

    def slice(self, start: int, stop: int) -> Encoded:
        """Texts start..stop."""
        spans = self.spans and self.spans.slice(start, stop)
        return Encoded(self.vectors[start:stop], self.tokens[start:stop], spans)


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
        return (await self.held.get(context.edition))["encoder"].model.identity

    async def encode(self, context: Context, texts: list[str], whose: Whose = "encoder") -> Encoded:
        """Vectors of `texts`, with the spans of a ranker's. Raises `ValueError`: the edition has no such model."""
        models = await self.held.get(context.edition)
        if whose not in models:
            raise ValueError(f"{whose}: the edition was made without one")
        own = models[whose]
        with span("encode", {"texts": len(texts)}, carriers=context.traces):
            tokens, places = await asyncio.to_thread(own.tokenise, texts)
            pieces = [Piece(own.model, own.head, part, carrier()) for part in cut(tokens, self._most)]
            made = await asyncio.gather(*map(self._batch, pieces))
            return await asyncio.to_thread(own.encoded, tokens, places, made)

    @serve.batch(max_batch_size=4096, batch_wait_timeout_s=0.002, batch_size_fn=count_tokens)
    async def _batch(self, pieces: list[Piece]) -> list[Made]:
        texts, tokens = sum(len(piece.tokens) for piece in pieces), count_tokens(pieces)
        figures.batch(texts, tokens)
        with span("batch", {"texts": texts, "tokens": tokens}, carriers=[piece.trace for piece in pieces]):
            return await asyncio.get_running_loop().run_in_executor(self._thread, encode_pieces, pieces)

    def _open(self, ref: EditionRef) -> dict[str, Loaded]:
        manifest = edition.open(ref.path).manifest
        settings = EncodingSettings.parse(manifest["config"]["encoding"])
        made_with = manifest["models"]["encoder"]
        given = self.settings.encoder is not None
        encoding = Encoding(
            self.settings.encoder if given else made_with["name"],
            self.settings.revision if given else made_with["revision"],
            settings,
        )
        models = {"encoder": Loaded(self._load(encoding, made_with["sha256"]))}
        if "ranker" in manifest["models"]:
            models["ranker"] = self._open_ranker(manifest["models"]["ranker"], settings)
        return models

    def _open_ranker(self, made_with: dict[str, Any], settings: EncodingSettings) -> Loaded:
        from kartoteka.ranking.directory import open_ranker
        from kartoteka.stages.trained import EncodeTrained

        files = open_ranker(self.settings.ranker or made_with["name"])
        model = self._load(EncodeTrained.encoding(files, settings, None), made_with["encoder"])
        if files.identity.get("spans") != made_with.get("spans"):
            raise ValueError(f"ranker: {files.folder} has not the head for spans that the edition was made with")
        return Loaded(model, read_head(files.spans, model.width) if files.spans else None, files.separator)

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


def encode_pieces(pieces: list[Piece]) -> list[Made]:
    """What is made of each piece; those of one model and head run together."""
    from kartoteka.encoding.tokens import Tokens

    found: dict[int, Made] = {}
    alike: dict[tuple[int, int], list[int]] = {}
    for number, piece in enumerate(pieces):
        alike.setdefault((id(piece.model), id(piece.head)), []).append(number)
    for own in alike.values():
        model, head = pieces[own[0]].model, pieces[own[0]].head
        tokens = [pieces[number].tokens for number in own]
        texts = np.cumsum([len(part) for part in tokens])[:-1]
        if head is None:
            vectors, products = model.encode_tokens(Tokens.concatenate(tokens)), [None] * len(own)
        else:
            vectors, flat = model.project(Tokens.concatenate(tokens), head.projection)
            products = np.split(flat, np.cumsum([len(part.ids) for part in tokens])[:-1])
        found |= zip(own, zip(np.split(vectors, texts), products, strict=True), strict=True)
    return [found[number] for number in range(len(pieces))]
