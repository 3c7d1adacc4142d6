"""One2Seq: what the generator reads and writes, as text.

Source: `title<s>abstract`. Target: keyphrases joined by `<SEP>`, those present in the text before the absent ones
(Yuan et al. 2020), the present ones by where they first occur and the absent ones as they were given, the order
`pres-abs` that Meng et al. (NAACL 2021, "An Empirical Study on Neural Keyphrase Generation") found best.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from kartoteka.text.prmu import StemmedText
from kartoteka.text.words import phrase_key, stems

SEPARATOR = "<SEP>"
#: BART's own marks in the order of their numbers, and ours: what no title, abstract or keyphrase may hold.
MARKS = ("<s>", "<pad>", "</s>", "<unk>", "<mask>", SEPARATOR)
_MARK = re.compile("|".join(map(re.escape, MARKS)))


def plain(text: str) -> str:
    """`text` on one line and without marks: what the tokeniser is given and what it gives back."""
    return " ".join(_MARK.sub(" ", text).split())


def source_text(title: str, abstract: str) -> str:
    """What the encoder reads of a document."""
    return f"{plain(title)}<s>{plain(abstract)}"


def target_text(phrases: Iterable[str]) -> str:
    """What the decoder is to write: `phrases` as `ordered` gave them."""
    return SEPARATOR.join(map(plain, phrases))


def parse(text: str, lang: str) -> list[str]:
    """The phrases of a text that the decoder wrote, each once, in its order."""
    return list(unique(text.split(SEPARATOR), lang).values())


def unique(phrases: Iterable[str], lang: str) -> dict[str, str]:
    """Phrase by key, the first of each key, in order; a phrase without a word has none and is left out."""
    found: dict[str, str] = {}
    for phrase in map(plain, phrases):
        if key := phrase_key(phrase, lang):
            found.setdefault(key, phrase)
    return found


def ordered(title: str, abstract: str, keyphrases: Sequence[str], lang: str) -> list[str]:
    """The keyphrases of a document in the order in which they are to be written, duplicates left out."""
    text = StemmedText(stems(title, lang), stems(abstract, lang))
    present, absent = [], []
    for key, phrase in unique(keyphrases, lang).items():
        position, _ = text.find(key)
        if position < 0:
            absent.append(phrase)
        else:
            present.append((position, phrase))
    present.sort(key=lambda pair: pair[0])
    return [phrase for _, phrase in present] + absent


def fitted_source(tokens: list[int], limit: int) -> list[int]:
    """At most `limit` of `<s> title <s> abstract </s>`, its end mark kept."""
    return tokens if len(tokens) <= limit else [*tokens[: limit - 1], tokens[-1]]


def fitted_target(tokens: list[int], limit: int, separator: int) -> list[int]:
    """At most `limit` of `<s> phrase <SEP> phrase </s>`: whole phrases, but a first one that is too long is cut."""
    if len(tokens) <= limit:
        return tokens
    # The end mark takes the place of the separator behind the last phrase that fits
    last = max((i for i in range(1, limit) if tokens[i] == separator), default=limit - 1)
    return [*tokens[:last], tokens[-1]]


def finished(tokens: Sequence[int], separator: int, end: int) -> list[int]:
    """What a decoder wrote, up to its end mark; where it was stopped before one, without the phrase it was at.

    A sole phrase is kept, unfinished as it is.
    """
    tokens = list(tokens)
    if end in tokens:
        return tokens[: tokens.index(end)]
    last = len(tokens) - 1 - tokens[::-1].index(separator) if separator in tokens else len(tokens)
    return tokens[:last]
