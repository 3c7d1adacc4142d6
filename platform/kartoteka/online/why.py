"""Why a document was found: the keyphrases and the words that it has in common with the query."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from kartoteka.online.words import printed_terms
from kartoteka.text.prmu import StemmedText
from kartoteka.text.words import phrase_key, stems

#: Documents share their phrases: a few tens of thousands of them are most of what is ever asked for.
_key = lru_cache(maxsize=1 << 16)(phrase_key)


@dataclass
class Reasons:
    """What the query is about: the `text` it gave, or the `phrases` of the documents it named, and its stems' weights.

    Phrases are compared in the language of the document that was found, which its own list is in.
    """

    text: str | None
    phrases: Sequence[str]
    weights: Mapping[str, float]
    _known: dict[str, Callable[[str], bool]] = field(default_factory=dict)

    def keyphrases(self, lang: str, found: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
        """Those of a document's keyphrases that the query has too, in their order."""
        if lang not in self._known:
            self._known[lang] = self._test(lang)
        return tuple(k["phrase"] for k in found if self._known[lang](_key(k["phrase"], lang)))

    def _test(self, lang: str) -> Callable[[str], bool]:
        if self.text is not None:
            return StemmedText(stems(self.text, lang), ()).contains
        return {_key(phrase, lang) for phrase in self.phrases}.__contains__

    def terms(self, document: Mapping[str, Any]) -> tuple[str, ...]:
        """The words of a document that the query has too, as it prints them, the most informative first."""
        return printed_terms((document["title"], document["abstract"]), document["lang"], self.weights)
