"""Which language a text is in: ISO 639-1, by py3langid's naive Bayes model, with a shortcut for Russian.

Lui & Baldwin, "langid.py: an off-the-shelf language identification tool" (ACL 2012). Deterministic, no state but the
model, which each process loads on its first call.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from py3langid.langid import LanguageIdentifier

#: ISO 639-2 for "undetermined": a text without letters.
UNDETERMINED = "und"

#: More of a text does not change the answer.
_CHARACTERS = 1_000

_LETTERS = re.compile(r"[^\W\d_]+")
# Letters that Ukrainian, Bulgarian, Serbian and Macedonian lack ...
_RUSSIAN = re.compile("[ыэё]")
# ... and Cyrillic letters that Russian lacks: a text with these is left to the model
_NOT_RUSSIAN = re.compile("[\u0450\u0452-\u045f\u0460-\u052f]")
_CYRILLIC = re.compile("[а-яё]+")


def detect(text: str) -> str:
    """The ISO 639-1 code of the text's language; `und` where it has no letters."""
    text = text[:_CHARACTERS].lower()
    letters = sum(map(len, _LETTERS.findall(text)))
    if not letters:
        return UNDETERMINED
    if _RUSSIAN.search(text) and not _NOT_RUSSIAN.search(text):
        cyrillic = sum(map(len, _CYRILLIC.findall(text)))
        if cyrillic > 0.6 * letters:
            return "ru"
    return _identifier().classify(text)[0]


@cache
def _identifier() -> LanguageIdentifier:
    from py3langid import langid  # imported late: it brings numpy and a model

    identifier = langid.LanguageIdentifier.from_model_file(langid.MODEL_FILE)
    identifier.set_languages([label for label in identifier.labels if len(label) == 2])
    return identifier
