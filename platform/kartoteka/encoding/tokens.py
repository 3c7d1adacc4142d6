"""Token ids of many texts as two flat arrays: cheap to slice, to join and to move between processes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kartoteka.encoding.spans import WordPlaces, place_words, words_of

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer

#: Characters tokenised at first for each token that may be kept; a text is cut there, and further on if need be.
_CHARACTERS_PER_TOKEN = 16
#: Tokens that must follow the last one kept before a cut text counts as tokenised like the whole one.
_MARGIN = 8
#: Texts handed to the tokeniser at once: bounds the memory that its per-text objects take.
_CHUNK = 2048


@dataclass(frozen=True, slots=True)
class Tokens:
    """The tokens of n texts, special tokens included.

    `ids` int32 [offsets[-1]]; `offsets` int64 [n + 1], text i is `ids[offsets[i]:offsets[i + 1]]`;
    `truncated` bool [n], whether text i was longer than the model reads.
    """

    ids: np.ndarray
    offsets: np.ndarray
    truncated: np.ndarray

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each text, int64 [n]."""
        return np.diff(self.offsets)

    @property
    def num_truncated(self) -> int:
        """How many texts were cut."""
        return int(self.truncated.sum())

    def slice(self, start: int, stop: int) -> Tokens:
        """Texts start..stop as a copy that does not keep the whole alive."""
        start, stop, _ = slice(start, stop).indices(len(self))
        stop = max(start, stop)
        first, last = self.offsets[start], self.offsets[stop]
        return Tokens(
            self.ids[first:last].copy(), self.offsets[start : stop + 1] - first, self.truncated[start:stop].copy()
        )

    @staticmethod
    def concatenate(parts: Iterable[Tokens]) -> Tokens:
        """The texts of all `parts`, in order."""
        parts = list(parts)
        lengths = [part.lengths for part in parts]
        return Tokens(
            np.concatenate([part.ids for part in parts] or [np.zeros(0, np.int32)]),
            _offsets(np.concatenate(lengths or [np.zeros(0, np.int64)])),
            np.concatenate([part.truncated for part in parts] or [np.zeros(0, bool)]),
        )

    @staticmethod
    def from_lists(lists: Sequence[Sequence[int]], truncated: Sequence[bool] | None = None) -> Tokens:
        """Tokens from one list of ids for each text."""
        flat = np.fromiter((token for ids in lists for token in ids), np.int32)
        flags = np.zeros(len(lists), bool) if truncated is None else np.asarray(truncated, bool)
        return Tokens(flat, _offsets(np.fromiter((len(ids) for ids in lists), np.int64, len(lists))), flags)


def _offsets(lengths: np.ndarray) -> np.ndarray:
    offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return offsets


class TextTokeniser:
    """A `tokenizers` tokeniser bounded to `max_tokens` per text, with `prompt` before every text."""

    def __init__(self, tokenizer: Tokenizer, max_tokens: int, *, prompt: str = "", threads: int = 1) -> None:
        tokenizer.no_padding()
        tokenizer.enable_truncation(max_tokens)
        self._tokenizer = tokenizer
        self._prompt = prompt
        self.max_tokens = max_tokens
        if threads == 1:
            # The library would otherwise start a thread for every core, in every actor.
            os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

    def __call__(self, texts: Sequence[str]) -> Tokens:
        """Tokenise `texts`, each cut to `max_tokens`."""
        return Tokens.concatenate(self._chunk(texts[i : i + _CHUNK]) for i in range(0, len(texts), _CHUNK))

    def with_words(self, texts: Sequence[str], separator: str) -> tuple[Tokens, WordPlaces]:
        """The same tokens, and where the words of title, `separator` and abstract lie among them.

        A word of which a token was cut off is not read, nor is any behind it.
        """
        parts, places, counts = [], [np.zeros((2, 0), np.int16)], []
        for start in range(0, len(texts), _CHUNK):
            chunk = texts[start : start + _CHUNK]
            encodings = self._encodings(chunk, self._tokenizer.encode_batch)
            parts.append(_tokens(encodings))
            for text, encoding in zip(chunk, encodings, strict=True):
                places.append(self._places(text, separator, encoding))
                counts.append(places[-1].shape[1])
        first, last = np.concatenate(places, axis=1)
        return Tokens.concatenate(parts), WordPlaces(first, last, _offsets(np.array(counts, np.int64)))

    def _places(self, text: str, separator: str, encoding: Encoding) -> np.ndarray:
        """See `place_words`."""
        before = len(self._prompt)
        cut = (start for part in encoding.overflowing for start, stop in part.offsets if stop > start)
        stop = max(next(cut, before + len(text)) - before, 0)
        # Words end behind `stop` wherever they end there: no need to look for those of all of a huge text.
        words = words_of(text[: stop + len(separator) + 1], separator)
        return place_words(words, np.array(encoding.offsets, np.int64) - before, stop)

    def _chunk(self, texts: Sequence[str]) -> Tokens:
        return _tokens(self._encodings(texts, self._tokenizer.encode_batch_fast))

    def _encodings(self, texts: Sequence[str], encode: Callable[[list[str]], list[Encoding]]) -> list[Encoding]:
        """`texts` through `encode`: what the model reads of each."""
        limit = _CHARACTERS_PER_TOKEN * self.max_tokens
        encodings = encode([self._prompt + text[:limit] for text in texts])
        for i, text in enumerate(texts):
            # A tokeniser reads a whole text before it truncates: 50 MB would take minutes and gigabytes.
            cut = limit
            while cut < len(text) and not _reaches(encodings[i]):
                cut *= 4
                encodings[i] = encode([self._prompt + text[:cut]])[0]
        return encodings


def _tokens(encodings: Sequence[Encoding]) -> Tokens:
    return Tokens.from_lists([e.ids for e in encodings], [bool(e.overflowing) for e in encodings])


def _reaches(encoding: Encoding) -> bool:
    """Whether a cut text gave clearly more tokens than are kept, so that the cut itself cannot be seen."""
    return len(encoding.overflowing) > 1 or any(len(part.ids) > _MARGIN for part in encoding.overflowing)
