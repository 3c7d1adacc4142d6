"""Present, reordered, mixed, unseen: how a keyphrase stands in its document, on stems.

The definition is that of Boudin & Gallina, "Redefining absent keyphrases and their effect on retrieval effectiveness"
(NAACL 2021), section 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

Category = Literal["present", "reordered", "mixed", "unseen"]
CATEGORIES: tuple[Category, ...] = ("present", "reordered", "mixed", "unseen")


class StemmedText:
    """One document's stems, prepared so that each of many phrases costs little to look up.

    Positions count the stems of the title followed by those of the abstract, from 0.
    """

    __slots__ = ("_boundary", "_places", "_text", "_words")

    def __init__(self, title_stems: Sequence[str], abstract_stems: Sequence[str]) -> None:
        self._boundary = len(title_stems)
        self._words = [*title_stems, *abstract_stems]
        # No stem holds a space or a line break: a phrase between spaces is contiguous stems, on one side of the break.
        self._text = f" {' '.join(title_stems)} \n {' '.join(abstract_stems)} "
        self._places: dict[str, list[int]] | None = None

    def contains(self, key: str) -> bool:
        """Whether the stems of `key` are contiguous in the title or in the abstract."""
        return f" {key} " in self._text

    def category(self, key: str) -> Category:
        """The class of the phrase. Raises `ValueError` when `key` is empty: a phrase without words has no class."""
        if not key:
            raise ValueError("key: a phrase without words has no category")
        if self.contains(key):
            return "present"
        places = self._index()
        words = key.split(" ")
        found = sum(word in places for word in words)
        if found == len(words):
            return "reordered"
        return "mixed" if found else "unseen"

    def find(self, key: str) -> tuple[int, int]:
        """(position of the first occurrence, number of occurrences, overlapping ones too); (-1, 0) when not present."""
        if not key or not self.contains(key):
            return -1, 0
        words = key.split(" ")
        starts = self._index()[words[0]]
        if len(words) > 1:
            n, boundary, all_words = len(words), self._boundary, self._words
            starts = [i for i in starts if all_words[i : i + n] == words and not i < boundary < i + n]
        return starts[0], len(starts)

    def share(self, key: str) -> float:
        """Share of the phrase's words that occur anywhere in the document, in [0, 1]; 0 for an empty key."""
        places = self._index()
        words = key.split()
        return sum(word in places for word in words) / len(words) if words else 0.0

    def _index(self) -> dict[str, list[int]]:
        if self._places is None:
            self._places = {}
            for i, word in enumerate(self._words):
                self._places.setdefault(word, []).append(i)
        return self._places


def category(key: str, title_stems: Sequence[str], abstract_stems: Sequence[str]) -> Category:
    """The class of one phrase; for many phrases of one document build `StemmedText` once.

    `present`: the stems of `key` are contiguous in the title or in the abstract, never across the two; `reordered`: all
    of them occur somewhere in title or abstract; `mixed`: some do; `unseen`: none. Raises `ValueError` when `key` is
    empty.
    """
    return StemmedText(title_stems, abstract_stems).category(key)


def find(key_stems: Sequence[str], stems: Sequence[str]) -> tuple[int, int]:
    """(first position, occurrences) of a phrase in one run of stems; (-1, 0) when it is empty or not there."""
    return StemmedText(stems, ()).find(" ".join(key_stems))
