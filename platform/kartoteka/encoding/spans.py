"""Scores of spans: how likely an encoder's token states hold that a run of words is a keyphrase.

The score of the words s .. s + k of a text is first_k . h[first token of s] + last_k . h[last token of s + k] + bias_k,
with h the states of the encoder: n-grams scored by their ends, as in JointKPE (Sun et al. 2021) and in the extractor of
SimCKP. Words are those of `text.words`, so that a span is a phrase exactly where `keyphrases.matching` finds one.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from kartoteka.text.words import word_spans

#: Words of the longest span, L.
LONGEST = 5
#: The score of a span that reaches beyond the words that are read.
MISSING = -30.0
#: Scores, which are log-odds, are kept within this bound: beyond it nothing is learned, and float16 gets coarse.
BOUND = 15.0


class WordPlaces(NamedTuple):
    """Where the words of n texts lie among their tokens; text i has the rows `offsets[i]:offsets[i + 1]`.

    `first`, `last` int16 [m]: the first and last token of each word, counted within its text. A text has its words in
    order, up to the first that is not read whole.
    """

    first: np.ndarray
    last: np.ndarray
    offsets: np.ndarray


class SpanHead(NamedTuple):
    """What scores spans, row k - 1 those of k words: `first`, `last` float32 [L, d], `bias` float32 [L]."""

    first: np.ndarray
    last: np.ndarray
    bias: np.ndarray

    @property
    def projection(self) -> np.ndarray:
        """What token states are multiplied by, float32 [d, 2 L]: columns of `first`, then of `last`."""
        return np.ascontiguousarray(np.concatenate([self.first, self.last]).T)


class Spans(NamedTuple):
    """Scores of the spans of n texts: float32 or float16 [m, L], row = first word, column = words less one.

    Text i has the rows `offsets[i]:offsets[i + 1]`, those of `WordPlaces`: the words of the title, then of the
    abstract, fewer than it has where it was cut. `MISSING` where a span reaches beyond them.
    """

    scores: np.ndarray
    offsets: np.ndarray

    def slice(self, start: int, stop: int) -> Spans:
        """Texts start..stop."""
        first, last = self.offsets[start], self.offsets[stop]
        return Spans(self.scores[first:last], self.offsets[start : stop + 1] - first)

    @staticmethod
    def concatenate(parts: Sequence[Spans]) -> Spans:
        """The texts of all `parts`, at least one, in order."""
        words = np.concatenate([np.diff(part.offsets) for part in parts])
        offsets = np.concatenate([[0], np.cumsum(words)]).astype(np.int64)
        return Spans(np.concatenate([part.scores for part in parts]), offsets)


def words_of(text: str, separator: str) -> list[tuple[int, int]]:
    """(start, stop) of the words of title, `separator` and abstract in an NFC `text`, none of them the separator's.

    The first place of the separator counts as its own: one that holds words (`</s>`) must not stand in titles.
    """
    return word_spans(text.replace(separator, " " * len(separator), 1))


def place_words(words: Sequence[tuple[int, int]], tokens: np.ndarray, stop: int) -> np.ndarray:
    """First and last token of each of `words`, int16 [2, m], up to the first that ends behind the character `stop`.

    `tokens` int64 [t, 2]: where a text's tokens start and stop in it; one of no width, as special ones are, is of no
    word. A word that the tokeniser drops takes the place of the token behind it; where there is none, it is not read.
    """
    starts, stops = np.array(words, np.int64).reshape(-1, 2).T
    token_starts, token_stops = tokens.reshape(-1, 2).T
    real = np.flatnonzero(token_stops > token_starts)
    first = np.searchsorted(token_stops[real], starts, side="right")
    last = np.maximum(np.searchsorted(token_starts[real], stops, side="left") - 1, first)
    unread = np.flatnonzero((first >= len(real)) | (stops > stop))
    count = unread[0] if len(unread) else len(words)
    return real[np.stack([first[:count], last[:count]])].astype(np.int16)


def span_scores(projected: np.ndarray, bias: np.ndarray, token_offsets: np.ndarray, places: WordPlaces) -> Spans:
    """The scores, float32, of the spans of n texts.

    `projected` float32 [tokens, 2 L]: states times `SpanHead.projection`; text i has the rows
    `token_offsets[i]:token_offsets[i + 1]`.
    """
    longest = len(bias)
    words = np.diff(places.offsets)
    base = np.repeat(np.asarray(token_offsets)[:-1], words)
    stop = np.repeat(places.offsets[1:], words)
    first, last = base + places.first, base + places.last
    scores = np.full((len(first), longest), MISSING, np.float32)
    for more in range(longest):
        rows = np.flatnonzero(np.arange(len(first)) + more < stop)
        found = projected[first[rows], more] + projected[last[rows + more], longest + more] + bias[more]
        scores[rows, more] = np.clip(found, -BOUND, BOUND)
    return Spans(scores, places.offsets)


def write_head(path: Path, head: SpanHead) -> None:
    """Write `head` as safetensors."""
    from safetensors.numpy import save_file

    save_file({name: np.ascontiguousarray(values, np.float32) for name, values in head._asdict().items()}, path)


def read_head(path: Path, width: int | None = None) -> SpanHead:
    """The head in the file `path`.

    Raises `ValueError` naming it: missing, torn, no head of `LONGEST` lengths, or for states of another `width`.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        head = SpanHead(**load_file(path))
    except (OSError, SafetensorError, TypeError) as error:
        raise ValueError(f"{path}: not a readable head for spans: {error}") from None
    shapes = [values.shape for values in head]
    wanted = [(LONGEST, *shapes[0][1:]), (LONGEST, *shapes[0][1:]), (LONGEST,)]
    if shapes != wanted or head.first.ndim != 2 or any(values.dtype != np.float32 for values in head):
        raise ValueError(f"{path}: not a head for spans of 1 to {LONGEST} words: {shapes}")
    if width is not None and shapes[0][1] != width:
        raise ValueError(f"{path}: a head for states of {shapes[0][1]} numbers, beside an encoder of {width}")
    return head
