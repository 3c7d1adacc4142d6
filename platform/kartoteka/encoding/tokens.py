"""Token ids of many texts as two flat arrays: cheap to slice, to join and to move between processes."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from tokenizers import Tokenizer

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

    def _chunk(self, texts: Sequence[str]) -> Tokens:
        limit = _CHARACTERS_PER_TOKEN * self.max_tokens
        encodings = self._tokenizer.encode_batch_fast([self._prompt + text[:limit] for text in texts])
        for i, text in enumerate(texts):
            # A tokeniser reads a whole text before it truncates: 50 MB would take minutes and gigabytes.
            cut = limit
            while cut < len(text) and not _reaches(encodings[i]):
                cut *= 4
                encodings[i] = self._tokenizer.encode_batch_fast([self._prompt + text[:cut]])[0]
        return Tokens.from_lists([e.ids for e in encodings], [bool(e.overflowing) for e in encodings])


def _reaches(encoding: object) -> bool:
    """Whether a cut text gave clearly more tokens than are kept, so that the cut itself cannot be seen."""
    return len(encoding.overflowing) > 1 or any(len(part.ids) > _MARGIN for part in encoding.overflowing)
