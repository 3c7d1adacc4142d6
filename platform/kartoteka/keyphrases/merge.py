"""Ranked candidates become a document's keyphrases: duplicates merged, classes told, the list cut."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from kartoteka.keyphrases.cut import best_length
from kartoteka.keyphrases.settings import KeyphraseSettings
from kartoteka.text.prmu import CATEGORIES, StemmedText
from kartoteka.text.words import phrase_key, stems

#: In the order in which they are written.
ORIGINS = ("neighbour", "vocabulary", "extracted")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A phrase proposed for one document: `origins` in the order of `ORIGINS`, `neighbours` best first."""

    phrase: str
    score: float
    origins: tuple[str, ...]
    neighbours: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Keyphrase:
    """A keyphrase of one document, as the edition's table holds it."""

    phrase: str
    score: float
    category: str
    origins: tuple[str, ...]
    neighbours: tuple[str, ...]


def merge_duplicates(candidates: Iterable[Candidate], lang: str, most_neighbours: int) -> dict[str, Candidate]:
    """One candidate per phrase key, in order of first appearance; the first keeps its form and score.

    `candidates` come best first and in the archive's most used form, so what is kept is that form; the origins and
    neighbours of the others are added to it. Candidates without a word are dropped.
    """
    merged: dict[str, Candidate] = {}
    for candidate in candidates:
        key = phrase_key(candidate.phrase, lang)
        if not key:
            continue
        if key not in merged:
            merged[key] = candidate
            continue
        first = merged[key]
        both = {*first.origins, *candidate.origins}
        merged[key] = replace(
            first,
            origins=tuple(origin for origin in ORIGINS if origin in both),
            neighbours=tuple(dict.fromkeys(first.neighbours + candidate.neighbours))[:most_neighbours],
        )
    return merged


def keyphrases(
    candidates: Iterable[Candidate],
    title: str,
    abstract: str,
    lang: str,
    settings: KeyphraseSettings,
    references: float | None = None,
) -> list[Keyphrase]:
    """The keyphrases of one document from candidates that come best first.

    The best `limit` are kept, and of each class further ones until it has `per_category`: a present phrase is easier to
    be sure of than an absent one, and a cataloguer wants to see both. With the number of `references` that the document
    is expected to have, the list ends where its expected F1 is greatest, at `limit` at the latest.
    """
    text = StemmedText(stems(title, lang), stems(abstract, lang))
    counts = dict.fromkeys(CATEGORIES, 0)
    result: list[Keyphrase] = []
    merged = merge_duplicates(candidates, lang, 5)
    limit, per_category = settings.limit, settings.per_category
    if references is not None:
        limit, per_category = best_length([found.score for found in merged.values()][:limit], references), 0
    for rank, (key, found) in enumerate(merged.items()):
        if found.score < settings.min_score:
            continue
        category = text.category(key)
        if rank < limit or counts[category] < per_category:
            counts[category] += 1
            result.append(Keyphrase(found.phrase, found.score, category, found.origins, found.neighbours))
    return result
