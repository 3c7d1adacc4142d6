"""Words, stems and phrase keys: what counts as the same word, and the same phrase, everywhere in Kartoteka.

A word is a maximal run of letters, digits and combining marks of any script, lower-cased and NFC. Decisions:

* a hyphen separates (`k-means` -> `k`, `means`), so that `k-means` and `k means`, `object-oriented` and `object
  oriented` are one phrase and a hyphenated compound is found by its parts;
* an apostrophe separates too (French `l'analyse`), and an English possessive `'s` is dropped;
* the Russian `ё` is read as `е`, because printed Russian uses the two at will;
* `c++`, `c#` and their like are words: a letter with its `++` or `#`;
* scripts written without spaces (Han, kana, Thai, Lao, Khmer, Burmese) give one word per character with its marks: a
  phrase is then contiguous words exactly where its characters are contiguous.
"""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Sequence
from functools import cache

import Stemmer

#: ISO 639-1 code -> Snowball algorithm. Any other language is left unstemmed.
SNOWBALL = {
    "ar": "arabic", "ca": "catalan", "cs": "czech", "da": "danish", "de": "german", "el": "greek", "en": "english",
    "eo": "esperanto", "es": "spanish", "et": "estonian", "eu": "basque", "fa": "persian", "fi": "finnish",
    "fr": "french", "ga": "irish", "hi": "hindi", "hu": "hungarian", "hy": "armenian", "id": "indonesian",
    "it": "italian", "lt": "lithuanian", "nb": "norwegian", "ne": "nepali", "nl": "dutch", "nn": "norwegian",
    "no": "norwegian", "pl": "polish", "pt": "portuguese", "ro": "romanian", "ru": "russian", "sr": "serbian",
    "st": "sesotho", "sv": "swedish", "ta": "tamil", "tr": "turkish", "yi": "yiddish",
}  # fmt: skip

#: ISO 639-1 code -> the list of `bm25s.stopwords`.
_STOP_LISTS = {
    "da": "DANISH", "de": "GERMAN", "en": "EN_PLUS", "es": "SPANISH", "fr": "FRENCH", "it": "ITALIAN",
    "nb": "NORWEGIAN", "nl": "DUTCH", "nn": "NORWEGIAN", "no": "NORWEGIAN", "pt": "PORTUGUESE", "ru": "RUSSIAN",
    "sv": "SWEDISH", "tr": "TURKISH",
}  # fmt: skip

#: A stem cache is emptied at this many words (about 20 MB): archives hold an endless tail of numbers and typos.
_CACHE_WORDS = 200_000
#: Longer "words" (a text without spaces, a sequence of bases) are not language: neither stemmed nor remembered.
_LONGEST_WORD = 64


def _class_of_marks() -> str:
    """Regex ranges of the combining marks, which no Python word class has and Indic or pointed scripts need."""
    marks = [c for c in range(0x300, sys.maxunicode + 1) if unicodedata.category(chr(c)) in ("Mn", "Mc")]
    starts = [c for c, before in zip(marks, [-1, *marks], strict=False) if c != before + 1]
    stops = [c for c, after in zip(marks, [*marks[1:], -1], strict=True) if c + 1 != after]
    return "".join(f"\\U{a:08x}-\\U{b:08x}" for a, b in zip(starts, stops, strict=True))


_MARKS = _class_of_marks()
# Thai and Lao, Burmese, Khmer, kana, Han with extension A, compatibility and supplementary planes, halfwidth kana
_UNSPACED = (
    r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3041-\u3096\u30a1-\u30fa\u3400-\u4dbf\u4e00-\u9fff"
    r"\uf900-\ufaff\uff66-\uff9d\U00020000-\U0003ffff"
)
_SYMBOLIC = r"[a-zA-Z](?:\+\+|\#)(?![^\W_])"
_WORD = re.compile(
    rf"{_SYMBOLIC}|[^\W_{_UNSPACED}](?:[^\W_{_UNSPACED}]|[{_MARKS}])*|(?=[^\W_])[{_UNSPACED}][{_MARKS}]*"
)
# Latin, Greek, Cyrillic, Armenian letters and general punctuation: no marks and no unspaced script, a rule 2x as fast
_NOT_PLAIN = re.compile(r"[^\x00-\u02ff\u0370-\u0482\u048a-\u0590\u2000-\u20cf]")
_PLAIN_WORD = re.compile(rf"{_SYMBOLIC}|[^\W_]+")
_YO = re.compile("ё([\u0300-\u036f]*)")
_POSSESSIVE = re.compile(rf"['\u2019][sS](?![^\W_]|[{_MARKS}])")


def tokenise(text: str) -> list[str]:
    """The words of `text` in order, lower-case (see the module's rules)."""
    return lower_words(_rule(text := printed(text)).findall(text))


def printed(text: str) -> str:
    """`text` as words are searched in it: NFC, without possessive endings, its case kept."""
    if not text.isascii():
        text = unicodedata.normalize("NFC", text)
    if "'" in text or "\u2019" in text:
        text = _POSSESSIVE.sub("", text)
    return text


def word_spans(text: str) -> list[tuple[int, int]]:
    """(start, stop) of each word in an NFC text: the words of `tokenise`, in place."""
    spans = [match.span() for match in _rule(text).finditer(text)]
    if "'" not in text and "\u2019" not in text:
        return spans
    endings = {match.start() + 1 for match in _POSSESSIVE.finditer(text)}
    return [span for span in spans if span[0] not in endings]


def lower_words(words: Sequence[str]) -> list[str]:
    """Words as printed -> words as compared."""
    joined = " ".join(words).lower()  # one call for all: a third of the time of one call a word
    if not joined.isascii():
        # Lower-casing, and taking the dots off ё, can leave a letter and its mark apart
        joined = unicodedata.normalize("NFC", joined)
        if "ё" in joined:
            joined = unicodedata.normalize("NFC", _YO.sub(_without_dots, joined))
    return joined.split()


def _without_dots(yo: re.Match[str]) -> str:
    return "е" + yo[1].replace("\u0308", "")


def _rule(text: str) -> re.Pattern[str]:
    return _WORD if _NOT_PLAIN.search(text) else _PLAIN_WORD


@cache
def stop_words(lang: str) -> frozenset[str]:
    """Words of `lang` (ISO 639-1) that carry no subject, as `tokenise` gives them; empty where there is no list."""
    name = _STOP_LISTS.get(lang)
    if name is None:
        return frozenset()
    from bm25s import stopwords  # imported late: it brings scipy along

    return frozenset(word for entry in getattr(stopwords, f"STOPWORDS_{name}") for word in tokenise(entry))


class _Stems(dict):
    """word -> stem of one language, filled as words come."""

    def __init__(self, lang: str) -> None:
        super().__init__()
        self._stem = Stemmer.Stemmer(SNOWBALL[lang], 0).stemWord  # 0: no second cache inside

    def __missing__(self, word: str) -> str:
        if len(word) > _LONGEST_WORD:
            return word
        if len(self) >= _CACHE_WORDS:
            self.clear()
        stem = self[word] = self._stem(word) or word
        return stem


@cache
def _stems_of(lang: str) -> _Stems:
    return _Stems(lang)


def stem_words(words: list[str], lang: str) -> list[str]:
    """The Snowball stems of words already tokenised, one each; the words themselves where `lang` has no stemmer."""
    if lang not in SNOWBALL:
        return words
    return list(map(_stems_of(lang).__getitem__, words))


def stems(text: str, lang: str) -> list[str]:
    """The stems of all words of `text`, stop words included: what phrases are matched against."""
    return stem_words(tokenise(text), lang)


def content_stems(text: str, lang: str) -> list[str]:
    """The stems of `text` without its stop words: what the lexical index holds."""
    stop = stop_words(lang)
    return stem_words([word for word in tokenise(text) if word not in stop], lang)


def phrase_key(phrase: str, lang: str) -> str:
    """The identity of a phrase: its stems joined by one space. Empty when the phrase holds no word."""
    return " ".join(stems(phrase, lang))
