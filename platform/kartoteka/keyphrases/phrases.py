"""The archive's phrases: which of the written forms are one phrase, and under which stems it is found in a text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from kartoteka.text.words import phrase_key

#: Languages told apart in the tables; all further ones share the last column.
MAX_LANGUAGES = 8


def language_column(languages: list[str]) -> dict[str, int]:
    """Language -> column of the phrase tables, `languages` given most frequent first."""
    return {lang: min(i, MAX_LANGUAGES) for i, lang in enumerate(languages)}


@dataclass(frozen=True, slots=True)
class PhraseTable:
    """Phrases 0..P-1, the most used first.

    `surfaces` [P] the form most used in the archive; `of` (written form, language) -> phrase; `forms` (phrase,
    language index, key) in the order in which they claim a key; `language_counts` (phrase, language index) -> uses.
    """

    surfaces: list[str]
    of: dict[tuple[str, str], int]
    forms: list[tuple[int, int, str]]
    language_counts: dict[tuple[int, int], int]


def clean(phrase: str) -> str:
    """The written form that is counted: white space collapsed, outer punctuation dropped."""
    return " ".join(phrase.split()).strip(" .,;:-\u2013\u2014*\u2022\"'")


def build_phrases(
    uses: Counter[tuple[str, str]] | dict[tuple[str, str], int], languages: list[str], longest: int
) -> PhraseTable:
    """Group written forms into phrases from `uses` (clean form, language of the document) -> times used.

    Two forms are one phrase when they have the same stems in the same language (`neural network`, `Neural networks`)
    or are the same string but for case (`Robotik` on a German and on an English record). Forms of more than `longest`
    words are left out: no text repeats them and no other record carries them.
    """
    parent: list[int] = []
    nodes: dict[tuple[str, str], int] = {}

    def node(name: tuple[str, str]) -> int:
        if name not in nodes:
            nodes[name] = len(parent)
            parent.append(len(parent))
        return nodes[name]

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    keys: dict[tuple[str, str], str] = {}
    for surface, lang in uses:
        key = phrase_key(surface, lang)
        if key and key.count(" ") < longest:
            keys[surface, lang] = key
            a, b = root(node(("", surface.casefold()))), root(node((lang or "-", key)))
            parent[max(a, b)] = min(a, b)

    groups: dict[int, list[tuple[str, str]]] = {}
    for use in keys:
        groups.setdefault(root(nodes["", use[0].casefold()]), []).append(use)

    ranked = []
    for members in groups.values():
        by_surface: Counter[str] = Counter()
        for surface, lang in members:
            by_surface[surface] += uses[surface, lang]
        best = min(by_surface, key=lambda s: (-by_surface[s], s))
        ranked.append((-sum(by_surface.values()), best, members))
    ranked.sort(key=lambda entry: entry[:2])

    index = language_column(languages)
    of: dict[tuple[str, str], int] = {}
    language_counts: Counter[tuple[int, int]] = Counter()
    seen_forms: list[tuple[int, int, str]] = []
    for phrase, (_, _, members) in enumerate(ranked):
        for surface, lang in sorted(members, key=lambda use: (-uses[use], use)):
            of[surface, lang] = phrase
            language_counts[phrase, index[lang]] += uses[surface, lang]
            seen_forms.append((phrase, index[lang], keys[surface, lang]))
    surfaces = [best for _, best, _ in ranked]
    # A phrase met on German records only is still looked for in English text, but never in place of a seen form.
    guessed = [
        (phrase, i, key)
        for i, lang in enumerate(languages[:4])
        for phrase, surface in enumerate(surfaces)
        if (phrase, i) not in language_counts and (key := phrase_key(surface, lang)) and key.count(" ") < longest
    ]
    return PhraseTable(surfaces, of, list(dict.fromkeys(seen_forms + guessed)), dict(language_counts))


def count_uses(keyphrases: Iterable[list[str]], langs: Iterable[str]) -> Counter[tuple[str, str]]:
    """(clean form, language) -> number of documents that carry it."""
    uses: Counter[tuple[str, str]] = Counter()
    for phrases, lang in zip(keyphrases, langs, strict=True):
        uses.update({(form, lang) for phrase in phrases if (form := clean(phrase))})
    return uses


def shape(phrase: str) -> tuple[float, float]:
    """(characters, share of capitals among its letters): acronyms and names are written otherwise than terms."""
    letters = sum(map(str.isalpha, phrase))
    return float(len(phrase)), sum(map(str.isupper, phrase)) / max(letters, 1)
