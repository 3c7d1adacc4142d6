"""What the index of an edition is asked, what it answers, and what it refuses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from kartoteka.card import Card

Mode = Literal["dense", "lexical", "hybrid"]
#: Most documents that one answer lists, that a search looks through, and that a query is made of.
MOST_HITS, MOST_FOUND, MOST_IDS = 1_000, 10_000, 100

Span = tuple[int, int]


class UnknownDocuments(ValueError):
    """The edition holds no documents of these `ids`."""

    def __init__(self, ids: Sequence[str]) -> None:
        self.ids = tuple(ids)
        shown = ", ".join(repr(identity[:80]) for identity in self.ids[:5])
        super().__init__(f"ids: {shown}{', ...' if len(self.ids) > 5 else ''} not in this edition")

    def __reduce__(self) -> tuple[type[UnknownDocuments], tuple[tuple[str, ...]]]:
        return UnknownDocuments, (self.ids,)


@dataclass(frozen=True)
class Query:
    """A text, with the `vector` [d] of it unless the words alone are asked for, or the `ids` of documents.

    `lang`: the text's language; detected when None. Raises `ValueError` unless it is exactly one of the two.
    """

    text: str | None = None
    lang: str | None = None
    vector: np.ndarray | None = None
    ids: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if (self.text is None) == (not self.ids):
            raise ValueError("text: a query is either a text or ids of documents")
        if self.text is not None and not self.text.strip():
            raise ValueError("text: it is empty")
        if len(self.ids) > MOST_IDS:
            raise ValueError(f"ids: {len(self.ids)} of them (at most {MOST_IDS})")


@dataclass(frozen=True, slots=True)
class Hit:
    """A document like the query, and why: `keyphrases` it shares with it, `terms` of it that match, as it prints them.

    `dense` and `lexical` are its scores in the two lists, None where it is not in one that was asked.
    """

    id: str
    score: float
    title: str
    lang: str
    year: int | None
    dense: float | None
    lexical: float | None
    keyphrases: tuple[str, ...]
    terms: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FoundDocument:
    """A document that a search found; marks are (start, stop) of the matched words in `title` and in `snippet`."""

    id: str
    score: float
    title: str
    snippet: str
    title_marks: tuple[Span, ...]
    snippet_marks: tuple[Span, ...]
    lang: str
    year: int | None


@dataclass(frozen=True, slots=True)
class Found:
    """Some of the `total` documents that share a word with a search, best first."""

    total: int
    hits: list[FoundDocument]


@dataclass(frozen=True, slots=True)
class CardFound:
    """A document's card, and the documents most like it."""

    card: Card
    similar: list[Hit]


def check_count(field: str, value: int, least: int, most: int) -> None:
    """Raise `ValueError` naming `field` unless `value` is one of `least` to `most`."""
    if not least <= value <= most:
        raise ValueError(f"{field}: {value} is not from {least} to {most:,}")


def check_mode(mode: str) -> None:
    """Raise `ValueError` unless there is this mode."""
    if mode not in get_args(Mode):
        raise ValueError(f"mode: {mode[:40]!r} is none of {', '.join(get_args(Mode))}")
