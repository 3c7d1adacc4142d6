"""Terms of a document found in its own text, best first: one source of keyphrase candidates."""

from __future__ import annotations

from dataclasses import dataclass

#: Only this many characters of a title and of an abstract are read: a term that matters stands earlier.
_CHARACTERS = 20_000


@dataclass(frozen=True, slots=True)
class Term:
    """A term of one document.

    `phrase` as a person would write it; `key` its identity (`words.phrase_key`); `count` its occurrences; `position`
    the index of its first word among the stems of the title followed by those of the abstract; `words` how many words
    the phrase has.
    """

    phrase: str
    key: str
    count: int
    position: int
    words: int


def extract_terms(title: str, abstract: str, lang: str, limit: int = 20) -> list[Term]:
    """At most `limit` terms with distinct keys, best first.

    Russian: ruTermExtract's chunks of adjectives and nouns; any other language: runs of content words ranked by
    statistical features (see `phrases`). `title` and `abstract` are normalised text; either may be empty.
    """
    title, abstract = title[:_CHARACTERS], abstract[:_CHARACTERS]
    if lang == "ru":
        from kartoteka.text.russian import extract
    else:
        from kartoteka.text.phrases import extract
    return [Term(*values) for values in extract(title, abstract, lang, limit)]
