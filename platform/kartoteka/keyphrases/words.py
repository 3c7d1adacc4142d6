"""The stems of documents as rows of word hashes, title and abstract apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from kartoteka.keyphrases.hashing import hash_words
from kartoteka.text.words import stems


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of word hashes: `words` uint64 [m], `offsets` int64 [n + 1]."""

    words: np.ndarray
    offsets: np.ndarray

    def __len__(self) -> int:
        return self.offsets.size - 1


class TextArrays(NamedTuple):
    """Hashes of words: rows `title_offsets[d]:title_offsets[d + 1]` of `title`, and so on."""

    title: np.ndarray
    title_offsets: np.ndarray
    abstract: np.ndarray
    abstract_offsets: np.ndarray


@dataclass(frozen=True, slots=True)
class DocumentWords:
    """What the keyphrase code knows of n texts: stems of titles and abstracts, and languages."""

    title: Rows
    abstract: Rows
    langs: list[str]

    def __len__(self) -> int:
        return len(self.langs)

    @property
    def arrays(self) -> TextArrays:
        """What the kernels read."""
        return TextArrays(self.title.words, self.title.offsets, self.abstract.words, self.abstract.offsets)


def rows(lists: Sequence[Sequence[str]]) -> Rows:
    """Hash the words of each list."""
    offsets = np.zeros(len(lists) + 1, np.int64)
    np.cumsum([len(words) for words in lists], out=offsets[1:])
    return Rows(hash_words([word for words in lists for word in words]), offsets)


def document_words(titles: Sequence[str], abstracts: Sequence[str], langs: Sequence[str]) -> DocumentWords:
    """Stem and hash n documents; stop words stay, so that phrases such as `internet of things` can be found."""
    return DocumentWords(
        rows([stems(text, lang) for text, lang in zip(titles, langs, strict=True)]),
        rows([stems(text, lang) for text, lang in zip(abstracts, langs, strict=True)]),
        list(langs),
    )
