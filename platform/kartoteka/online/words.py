"""The words of a query in the texts it found: where they stand, and the piece of a text that shows them best."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Container, Mapping, Sequence
from dataclasses import dataclass

from kartoteka.online.query import Span
from kartoteka.text.language import detect
from kartoteka.text.words import content_stems, lower_words, stem_words, stop_words, tokenise, word_spans

#: Characters of a snippet, and how many of them may come before its first match.
SNIPPET, LEAD = 300, 60
MOST_TERMS = 8


@dataclass(frozen=True, slots=True)
class Match:
    """A word of a text, `start:stop`, whose stem was asked for."""

    start: int
    stop: int
    stem: str


def search_stems(text: str, langs: Sequence[str], rare: Collection[str] = ()) -> list[str]:
    """The distinct stems of a few words in each of `langs`, the language they may be in; none where there is none.

    A language of `rare` is one of them if the words look like it. Stop words are those of the language that the words
    look like, if it is one of them, else of the first; where nothing else is asked for they count.
    """
    seems = detect(text)
    if seems in rare:
        langs = [*langs, seems]
    if not langs:
        return []
    stop = stop_words(seems if seems in langs else langs[0])
    words = tokenise(text)
    words = [word for word in words if word not in stop] or words
    return list(dict.fromkeys(stem for lang in langs for stem in stem_words(words, lang)))


def text_stems(text: str, langs: Sequence[str], rare: Collection[str] = ()) -> list[str]:
    """The stems of a whole text, repeated ones too, in the one language it is in if that is in `langs` or `rare`.

    Else they are as `search_stems` gives them. One language and no `rare` ones: the text is in that.
    """
    lang = langs[0] if len(langs) == 1 and not rare else detect(text)
    return content_stems(text, lang) if lang in langs or lang in rare else search_stems(text, langs)


def matches(text: str, lang: str, wanted: Container[str]) -> list[Match]:
    """The words of a normalised `text` in `lang` whose stem is `wanted`, in order."""
    spans = word_spans(text)
    found = stem_words(lower_words([text[start:stop] for start, stop in spans]), lang)
    return [Match(*span, stem) for span, stem in zip(spans, found, strict=True) if stem in wanted]


def printed_terms(texts: Sequence[str], lang: str, weights: Mapping[str, float]) -> tuple[str, ...]:
    """The matched words as `texts` first print them, one for each stem, those of the largest of `weights` first."""
    forms: dict[str, str] = {}
    for text in texts:
        for match in matches(text, lang, weights):
            forms.setdefault(match.stem, text[match.start : match.stop])
    best = sorted(forms, key=lambda stem: (-weights[stem], stem))[:MOST_TERMS]
    return tuple(forms[stem] for stem in best)


def snippet(text: str, found: Sequence[Match], weights: Mapping[str, float]) -> tuple[str, tuple[Span, ...]]:
    """About `SNIPPET` characters of `text` that hold the matches worth most together, and where those are in it."""
    start, stop = _window(text, found, weights)
    before, after = "… " if start else "", " …" if stop < len(text) else ""
    shift = len(before) - start
    marks = tuple((m.start + shift, m.stop + shift) for m in found if start <= m.start and m.stop <= stop)
    return f"{before}{text[start:stop]}{after}", marks


def _window(text: str, found: Sequence[Match], weights: Mapping[str, float]) -> Span:
    """Where the snippet begins and ends: at words, and at the earliest of equally good places."""
    if len(text) <= SNIPPET:
        return 0, len(text)
    begin, best = 0, 0.0
    inside: Counter[str] = Counter()
    last = 0
    for match in found:
        low = max(0, match.start - LEAD)
        while last < len(found) and found[last].stop <= low + SNIPPET:
            inside[found[last].stem] += 1
            last += 1
        worth = sum(weights[stem] for stem, count in inside.items() if count > 0)
        if worth > best:
            begin, best = low, worth
        inside[match.stem] -= 1
    if begin:
        word = text.find(" ", begin, begin + LEAD)
        begin = word + 1 if word >= 0 else begin
    end = begin + SNIPPET
    if end < len(text):
        word = text.rfind(" ", begin + SNIPPET // 2, end + 1)
        end = word if word >= 0 else end
    return begin, min(end, len(text))
