"""When two phrases are the same, and where a phrase stands in its document (PRMU).

Tokens are those of `nltk.word_tokenize` (Treebank rules inside sentences), as in the code of Boudin & Gallina (2021).
That function takes its sentences from the Punkt model, which has to be downloaded; here sentences end at a period
followed by white space unless it closes a known abbreviation, an initial or a word with a period inside, which is what
Punkt does with ordinary prose. Only the token of a period before white space depends on this.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Literal

import Stemmer
from nltk.stem import PorterStemmer
from nltk.tokenize import NLTKWordTokenizer

#: The four classes, in the order in which they are printed.
CLASSES = ("present", "reordered", "mixed", "unseen")

# fmt: off
_ABBREVIATIONS = frozenset((
    "al", "approx", "ca", "cf", "ch", "co", "corp", "dept", "dr", "ed", "eds", "eq", "eqs", "est", "etc", "ex", "fig",
    "figs", "inc", "jr", "ltd", "max", "min", "mr", "mrs", "ms", "no", "nos", "nr", "pp", "prof", "ref", "refs", "resp",
    "sec", "sr", "st", "vol", "vols", "vs",
))
# fmt: on
_PERIOD = re.compile(r"(\S*)\.([\"')\]}»”’]*)(?=\s)")
#: Text of plain words, which the Treebank rules only split at white space; `cannot` and its like they split in two.
_PLAIN = re.compile(r"(?i)(?!.*(?:--|\b(?:cannot|gimme|gonna|gotta|lemme|wanna)\b))[\w\s-]*", re.DOTALL)
_CYRILLIC = re.compile("[\u0400-\u04ff]")
_PLACEHOLDER = "<digit>"
#: A word that neither the tokenizer nor a stemmer changes, put in for `<digit>`, whose brackets would be split off.
_PLACEHOLDER_WORD = "\ue000"
_TYPOGRAPHY = str.maketrans({"\u2010": "-", "\u2011": "-", "\u00ad": None, "\u2019": "'", "\u02bc": "'"})
_SNOWBALL = {
    "fr": "french", "de": "german", "es": "spanish", "it": "italian", "pt": "portuguese", "nl": "dutch",
    "sv": "swedish", "no": "norwegian", "da": "danish", "fi": "finnish",
}  # fmt: skip
_treebank = NLTKWordTokenizer()
_porter = PorterStemmer()


def word_tokenize(text: str) -> list[str]:
    """Tokens of `text` as `nltk.word_tokenize` gives them, without its downloaded sentence model."""
    if _PLAIN.fullmatch(text):
        return text.split()
    return _treebank.tokenize(_PERIOD.sub(_part_period, text))


def _part_period(match: re.Match[str]) -> str:
    word = match[1].lower().lstrip("(['\"“‘«")
    if word in _ABBREVIATIONS or "." in word or (len(word) == 1 and word.isalpha()):
        return match[0]
    return f"{match[1]} .{match[2]}"


@lru_cache(maxsize=1 << 18)
def _porter_stem(word: str) -> str:
    return _porter.stem(word)


@cache
def _morphology() -> Callable[[str], str]:
    import pymorphy3

    parse = pymorphy3.MorphAnalyzer().parse

    @lru_cache(maxsize=1 << 18)
    def lemma(word: str) -> str:
        # Dictionaries differ on the letter "yo", and so do writers.
        return parse(word)[0].normal_form.replace("ё", "е")

    return lemma


@cache
def _snowball(lang: str) -> Callable[[str], str]:
    return lru_cache(maxsize=1 << 18)(Stemmer.Stemmer(_SNOWBALL[lang]).stemWord)


def _auto(word: str, lang: str) -> str:
    if _CYRILLIC.search(word):
        return _morphology()(word)
    return _snowball(lang)(word) if lang in _SNOWBALL else _porter_stem(word)


_RULES: dict[str, Callable[[str, str], str]] = {
    "auto": _auto,
    "porter": lambda word, lang: _porter_stem(word),
    "lemma": lambda word, lang: _morphology()(word),
    "lower": lambda word, lang: word,
}


def normalise_words(text: str, lang: str = "en", matching: str = "auto", digits: bool = False) -> list[str]:
    """The words of `text` in the form in which they are compared, punctuation marks being words too.

    `porter`: NLTK's Porter stem of the lower-cased token, as the community's scripts do; it leaves Cyrillic as it is.
    `lemma`: pymorphy3's first normal form, "yo" written "ye". `lower`: lower case only. `auto`: lemma for a Cyrillic
    token, the Snowball stem where the language has one (French, German, ...), Porter's for everything else; typographic
    hyphens and apostrophes become plain ones and soft hyphens go.
    `digits`: numbers become `<digit>`, the placeholder of the KP20k family of files.
    """
    if matching == "auto":
        text = unicodedata.normalize("NFC", text).translate(_TYPOGRAPHY)
    tokens = word_tokenize(text.replace(_PLACEHOLDER, f" {_PLACEHOLDER_WORD} "))
    rule = _RULES[matching]
    return [
        _PLACEHOLDER if token == _PLACEHOLDER_WORD or (digits and token.isdigit()) else rule(token.lower(), lang)
        for token in tokens
    ]


def holds_placeholder(*texts: str) -> bool:
    """Whether numbers were replaced by `<digit>` in any of `texts`; then predictions need the same."""
    return any(_PLACEHOLDER in text for text in texts)


@dataclass(frozen=True, slots=True)
class Source:
    """A document's text, searched for phrases. Both are padded with spaces, so a substring is a run of whole words."""

    parts: tuple[str, ...]
    words: frozenset[str]

    @classmethod
    def of(cls, title: list[str], abstract: list[str], source: Literal["separate", "joined"] = "separate") -> Source:
        """Title and abstract as words of `normalise_words`."""
        parts = (title, abstract) if source == "separate" else (title + abstract,)
        return cls(tuple(f" {' '.join(part)} " for part in parts), frozenset(title).union(abstract))

    def category(self, words: list[str]) -> str:
        """The class of a phrase (Boudin & Gallina 2021, `pmru_uw`).

        Present: its words are contiguous in the title or in the abstract. Else reordered, mixed or unseen: all, some or
        none of its words are in either. An empty phrase is present, as the empty list is contained everywhere.
        """
        phrase = f" {' '.join(words)} " if words else " "
        if any(phrase in part for part in self.parts):
            return "present"
        found = sum(word in self.words for word in words)
        return "reordered" if found == len(words) else "mixed" if found else "unseen"
