"""Russian terms: ruTermExtract over pymorphy3, with every word parsed and inflected once.

ruTermExtract (Igor Shevchenko, MIT) chunks `<adjective>* <noun>+` by morphology and gives the normal form of each. Its
own parser asks pymorphy2, which is dead since Python 3.11, and asks it for each token again; the parser here gives
the same answers, remembered, so that the terms are the same. Their order is our own: ruTermExtract sorts by count,
then by length, and knows nothing of the title or of position.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterator
from functools import cache, lru_cache
from itertools import accumulate

import pymorphy3
from rutermextract.extractor import Extractor
from rutermextract.labeler import IOBLabeler
from rutermextract.normalizer import Normalizer
from rutermextract.tokenizer import Tokenizer

from kartoteka.text.words import phrase_key, tokenise

#: Words remembered with their parses, about 1 kB each.
_CACHE_WORDS = 100_000
#: A token longer than this is no word; pymorphy3's guessing of unknown words is slow on such.
_LONGEST_TOKEN = 64
#: What the number of words adds to a term's score (more than four: -0.3).
_LENGTH = {1: 0.0, 2: 0.8, 3: 0.4, 4: 0.0}


class Word:
    """What ruTermExtract asks of one parsed token (the interface of its `ParsedWord`), answered once."""

    __slots__ = ("_adjective", "_genitive", "_latin", "_nominal", "_noun", "_number", "_participle", "_word")

    def __init__(self, parse: pymorphy3.analyzer.Parse) -> None:
        tag = parse.tag
        self._word = parse.word
        self._noun = tag.POS == "NOUN"
        self._adjective = tag.POS == "ADJF" and "Anph" not in tag.grammemes
        self._participle = tag.POS == "PRTF"
        self._number = tag.POS == "NUMR" or "NUMB" in tag.grammemes
        self._latin = "LATN" in tag.grammemes
        self._genitive = tag.case == "gent"
        declines = self._noun or self._adjective or self._participle or self._number
        inflected = parse.inflect({"nomn"}) if declines else None
        self._nominal = inflected.word if inflected else parse.word

    def is_noun(self) -> bool:
        """Noun."""
        return self._noun

    def is_adjective(self) -> bool:
        """Full adjective, pronouns such as `этот` left out."""
        return self._adjective

    def is_participle(self) -> bool:
        """Full participle."""
        return self._participle

    def is_number(self) -> bool:
        """Numeral, in words or digits."""
        return self._number

    def is_latin(self) -> bool:
        """Word in Latin letters."""
        return self._latin

    def is_genitive(self) -> bool:
        """In the genitive case."""
        return self._genitive

    def get_nominal(self) -> str:
        """In the nominative, or as it is where it has none."""
        return self._nominal

    def get_word(self) -> str:
        """As it stands."""
        return self._word


@cache
def _morphology() -> pymorphy3.MorphAnalyzer:
    return pymorphy3.MorphAnalyzer()


@lru_cache(maxsize=_CACHE_WORDS)
def parse(token: str) -> Word | None:
    """The most probable reading of a token; `None` where there is none."""
    # pymorphy3 asks Unicode for the name of every letter, and raises for the scripts whose letters have none (Tangut).
    if len(token) > _LONGEST_TOKEN or not all(unicodedata.name(letter, "") for letter in token):
        return None
    parses = _morphology().parse(token)
    return Word(parses[0]) if parses else None


@lru_cache(maxsize=_CACHE_WORDS)
def _size(token: str) -> int:
    """How many of our words a token of ruTermExtract holds: hyphens and slashes do not part its tokens."""
    return len(tokenise(token))


_tokens, _labels, _chunks, _normal_form = Tokenizer(), IOBLabeler(), Extractor(), Normalizer()


def chunks(text: str, nested: bool = False) -> tuple[list[str], Iterator[tuple[list[int], str]]]:
    """The tokens of `text`, and ruTermExtract's chunks over them: (token numbers, normal form), in order."""
    tokens = _tokens(text)
    parsed = [parse(token) for token in tokens]
    found = _chunks(range(len(tokens)), _labels(parsed), nested=nested)
    return tokens, ((chunk, _normal_form([parsed[i] for i in chunk])) for chunk in found)


def extract(title: str, abstract: str, lang: str, limit: int) -> list[tuple[str, str, int, int, int]]:
    """(phrase, key, count, position, words) of the best `limit` terms."""
    found: dict[str, list] = {}
    offset = 0
    for in_title, part in ((True, title), (False, abstract)):
        tokens, terms = chunks(part)
        starts = list(accumulate(map(_size, tokens), initial=offset))
        offset = starts[-1]
        for chunk, phrase in terms:
            key = phrase_key(phrase, lang)
            if key in found:
                found[key][2] += 1
            elif key:
                found[key] = [phrase, key, 1, starts[chunk[0]], key.count(" ") + 1, in_title]
    ranked = sorted(found.values(), key=_rank)
    return [tuple(term[:5]) for term in ranked[:limit]]


def _rank(term: list) -> tuple[float, int]:
    _, _, count, position, words, in_title = term
    score = math.log(count) + 0.4 * in_title - 0.1 * math.log1p(position) + _LENGTH.get(words, -0.3)
    return -score, position
