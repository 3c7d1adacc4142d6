"""Terms of a text in any language but Russian: runs of content words, ranked by what one document shows of them.

Candidates are the sub-runs of one to four content words between punctuation, stop words and the words of every subject
(`general`), in the spirit of RAKE (Rose et al. 2010). Their features are those of single-document extractors:
occurrences, position of the first one (PositionRank, Florescu & Caragea, ACL 2017), case, length and how words keep
their neighbours (YAKE, Campos et al., Information Sciences 509, 2020); the weights are of a logistic regression over
candidates that are, or are not, the author's keyphrases.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator
from functools import cache
from operator import mul

from kartoteka.text.general import GENERAL_WORDS
from kartoteka.text.prmu import StemmedText
from kartoteka.text.words import lower_words, printed, stem_words, stop_words, word_spans

_BREAK, _LINK, _NUMBER, _LETTER, _CONTENT = range(5)

#: Most content words in a term, and most words in all.
_CONTENT_WORDS = 4
#: Words that may stand inside a term, as in `analyse de l'identité`.
_LINKS = {
    "es": frozenset(("de", "del", "la", "el", "los", "las")),
    "fr": frozenset(("de", "du", "des", "d", "la", "l", "le", "les", "à", "en")),
    "it": frozenset(("di", "del", "della", "dei", "delle", "dell")),
    "pt": frozenset(("de", "do", "da", "dos", "das")),
}
_JOINS = frozenset((" ", "-", "\u2010", "\u2011", "'", "\u2019", "_"))
_CACHE_WORDS = 200_000


class _Lexicon(dict):
    """word -> (stem, kind) of one language."""

    def __init__(self, lang: str) -> None:
        super().__init__()
        self._lang = lang
        self._stop = stop_words(lang)
        self._links = _LINKS.get(lang, frozenset())
        general = GENERAL_WORDS.get(lang, "").split()
        self._general = frozenset(stem_words(lower_words(general), lang))

    def __missing__(self, word: str) -> tuple[str, int]:
        if len(self) >= _CACHE_WORDS:
            self.clear()
        stem = stem_words([word], self._lang)[0]
        value = self[word] = (stem, self._kind(word, stem))
        return value

    def _kind(self, word: str, stem: str) -> int:
        if word in self._links:
            return _LINK
        if word in self._stop or stem in self._general or len(word) > 64:
            return _BREAK
        if self._lang == "en" and word.endswith("ly") and len(word) > 5:
            return _BREAK
        if word.isdigit():
            return _NUMBER
        return _LETTER if len(word) == 1 and word.isascii() else _CONTENT


@cache
def _lexicon(lang: str) -> _Lexicon:
    return _Lexicon(lang)


class Candidate:
    """A phrase of one document and what was seen of it."""

    __slots__ = ("capitals", "count", "first", "in_title", "last", "left", "right", "size", "stems", "surface", "whole")

    def __init__(self, stems: list[str], size: int, first: int, in_title: bool) -> None:
        self.stems = stems  # of all words, links too
        self.size = size  # content words
        self.first = self.last = first
        self.in_title = in_title
        self.count = self.left = self.right = self.whole = self.capitals = 0
        self.surface = ""


class _Part:
    """A title or an abstract, word by word."""

    __slots__ = ("forms", "kinds", "printed", "spans", "stems", "words")

    def __init__(self, text: str, lexicon: _Lexicon) -> None:
        self.printed = printed(text)
        self.spans = word_spans(self.printed)
        self.forms = [self.printed[start:stop] for start, stop in self.spans]
        self.words = lower_words(self.forms)
        entries = [lexicon[word] for word in self.words]
        self.stems = [stem for stem, _ in entries]
        self.kinds = [kind for _, kind in entries]

    def runs(self) -> Iterator[tuple[int, int]]:
        """Maximal runs (start, stop) of words without a break, of kind or of punctuation."""
        spans, kinds, start = self.spans, self.kinds, 0
        for i in range(1, len(kinds) + 1):
            joined = i < len(kinds) and kinds[i] and kinds[i - 1]
            if joined and self.printed[spans[i - 1][1] : spans[i][0]] in _JOINS:
                continue
            if kinds[start]:
                yield start, i
            start = i


def candidates(title: str, abstract: str, lang: str) -> tuple[dict[str, Candidate], dict[str, int], StemmedText]:
    """(key -> candidate, stem -> occurrences, the stems) of one document."""
    lexicon = _lexicon(lang)
    found: dict[str, Candidate] = {}
    frequency: dict[str, int] = {}
    stems: list[list[str]] = []
    offset = 0
    for in_title, text in ((True, title), (False, abstract)):
        part = _Part(text, lexicon)
        for stem, kind in zip(part.stems, part.kinds, strict=True):
            if kind > _LINK:
                frequency[stem] = frequency.get(stem, 0) + 1
        for start, stop in part.runs() if part.words else ():
            _add_run(found, part, start, stop, offset, in_title, lang == "de")
        offset += len(part.words)
        stems.append(part.stems)
    return found, frequency, StemmedText(*stems)


def _add_run(
    found: dict[str, Candidate], text: _Part, a: int, b: int, offset: int, in_title: bool, nouns_capitalised: bool
) -> None:
    """Count every candidate within the words `a` to `b` of `text`, a run without a break."""
    forms, words, stems, kinds = text.forms, text.words, text.stems, text.kinds
    capitals = [
        2 if form[1:] != word[1:] else 1 if form != word and i and not in_title else 0
        for i, (form, word) in enumerate(zip(forms[a:b], words[a:b], strict=True), a)
    ]
    for i in range(a, b):
        if kinds[i] < _LETTER:
            continue
        size = 0
        for j in range(i, b):
            kind = kinds[j]
            if kind == _LINK:
                continue
            size += 1
            if size > _CONTENT_WORDS:
                break
            if size == 1 and kind != _CONTENT:
                continue
            if nouns_capitalised and kind == _CONTENT and not forms[j][0].isupper():
                continue
            key = " ".join(stems[i : j + 1])
            candidate = found.get(key)
            if candidate is None:
                candidate = found[key] = Candidate(stems[i : j + 1], size, offset + i, in_title)
            left = i == a or kinds[i - 1] == _LINK
            right = j + 1 == b or kinds[j + 1] == _LINK
            capital = sum(capitals[i - a : j + 1 - a])
            candidate.count += 1
            candidate.left += left
            candidate.right += right
            candidate.whole += left and right
            candidate.last = offset + i
            surface = text.printed[text.spans[i][0] : text.spans[j][1]]
            if not candidate.surface or capital < candidate.capitals:
                candidate.surface, candidate.capitals = surface, capital


#: Logistic regression over the candidates of 6,000 computer science abstracts and 8,600 of theses (English, French);
#: the order is that of `features`.
_WEIGHTS = (0.98, -0.11, 0.74, 0.40, 1.28, 0.77, 0.25, 0.11, 0.66, 1.05, -0.45, -0.70, 0.23, 0.65, 0.12, 1.10, -1.6)


def features(candidate: Candidate, frequency: dict[str, int]) -> tuple[float, ...]:
    """What is seen of a candidate, given how often each stem occurs in its document."""
    count, size, stems = candidate.count, candidate.size, candidate.stems
    occurrences = [frequency.get(stem, 0) for stem in stems]
    return (
        math.log(count),
        math.log1p(candidate.first),
        float(candidate.in_title),
        float(size == 1),
        float(size == 2),
        float(size == 3),
        candidate.left / count,
        candidate.right / count,
        candidate.whole / count,
        math.log(sum(occurrences) / size),
        math.log1p(min(occurrences)),
        math.log(max(occurrences)),
        float(min(candidate.capitals, 3)),
        float(size == 1 and candidate.capitals >= 2),
        math.log1p(candidate.last - candidate.first),
        math.log(sum(map(len, stems)) / len(stems)),
        float(len(stems) > size),
    )


def extract(title: str, abstract: str, lang: str, limit: int) -> list[tuple[str, str, int, int, int]]:
    """(phrase, key, count, position, words) of the best `limit` terms."""
    found, frequency, text = candidates(title, abstract, lang)
    scored = [
        (-sum(map(mul, _WEIGHTS, features(candidate, frequency))), candidate.first, key)
        for key, candidate in found.items()
    ]
    best = []
    for _, _, key in heapq.nsmallest(limit, scored):
        # Counted anew: a candidate was not counted where punctuation parts its words
        position, count = text.find(key)
        best.append((found[key].surface, key, count, position, len(found[key].stems)))
    return best
