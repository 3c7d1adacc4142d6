r"""One form of a text: what a record's title or abstract becomes before anything else looks at it.

Markup and entities out, control and invisible characters out, NFC, ligatures apart, words broken at line ends joined,
white space single. Idempotent, total (any `str`, lone surrogates too) and linear in the length of the text.

What stays: quotes, dashes, LaTeX, and every `<` that does not open a known element (`a < b and c > d`, `x<y`).

Hyphen at a line end: `computa-\ntion` becomes `computation`. The hyphen is kept, and only the line break goes, when one
letter stands before it (`k-\nmeans`), when what follows is not lower-case (`Navier-\nStokes`, `COVID-\n19`), when
the first part has a hyphen already (`state-of-the-\nart`), or when the text holds the hyphenated form elsewhere on one
line. Before a conjunction (`short-\nand long-term`) the line break becomes a space.
"""

from __future__ import annotations

import html
import re
import sys
import unicodedata

#: Entities and tags are taken out until nothing changes; text still changing after this many rounds is an attack.
_ROUNDS = 8

_INLINE = (
    "a abbr acronym b bdi bdo big bold cite code del dfn em font i ins italic kbd mark monospace named-content "
    "overline q roman s samp sans-serif sc small span strike strong styled-content sub sup tt u underline var xref "
    "ext-link email uri inf mi mn mo ms mtext mrow msub msup msubsup mfrac msqrt mroot mover munder munderover "
    "mstyle mspace mfenced mpadded mphantom menclose semantics annotation math inline-formula tex-math alternatives"
)
_BLOCK = (
    "abstract article aside blockquote body br center dd disp-formula disp-quote div dl dt fn footer h1 h2 h3 h4 h5 h6 "
    "head header hr html img inline-graphic label li list list-item main nav ol p para pre sec section "
    "table tbody td tfoot th thead title tr trans-abstract ul mtable mtr mtd graphic"
)
_BLOCKS = frozenset(_BLOCK.split())
_ELEMENTS = _BLOCKS.union(_INLINE.split())
# Any element; which ones are markup is asked of its name. Possessive throughout, so that hostile text costs one look.
_TAG = re.compile(
    r"<(/?)(?:[a-zA-Z]{1,8}+:)?+([a-zA-Z][a-zA-Z0-9-]{0,24}+)"
    r"(?:\s++[\w:.-]++\s*+=\s*+(?:\"[^\"<>]*+\"|'[^'<>]*+'|[^\s\"'<>=]++))*+\s*+/?>"
)
_LETTER_TAG = re.compile(r"<[a-zA-Z][\s/>]")
_AMPERSAND = re.compile(r"&(?:amp;|#0{0,5}38;|#[xX]0{0,4}26;)+", re.IGNORECASE)
_ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[a-zA-Z][a-zA-Z0-9]{1,31});")

_LIGATURES = {c: unicodedata.normalize("NFKC", chr(c)) for c in range(0xFB00, 0xFB07)}
_LINE_BREAKS = "\n\v\f\r\x1c\x1d\x1e\u2028\u2029"
# ZWNJ and ZWJ are spelling in Arabic and Indic scripts, noise elsewhere
_JOINERS = "\u200c\u200d"
_FOREIGN_JOINER = re.compile("(?<![\u0600-\u1cff])[\u200c\u200d]+")


def _characters() -> dict[int, str | None]:
    """For `str.translate`: what is taken out, and what replaces it."""
    table: dict[int, str | None] = dict(_LIGATURES)
    for code in range(sys.maxunicode + 1):
        char = chr(code)
        category = unicodedata.category(char)
        unwanted = category in ("Cc", "Cf", "Cs") or code & 0xFFFE == 0xFFFE
        if unwanted and char not in _JOINERS and not char.isspace():
            table[code] = None
    for code in range(0x80, 0xA0):  # Windows-1252 read as Latin-1: \x96 was a dash
        table[code] = bytes([code]).decode("cp1252", errors="ignore")
    table.update(dict.fromkeys(map(ord, _LINE_BREAKS), "\n"))
    return table


_CHARACTERS = _characters()
_LIGATURE = re.compile("[\ufb00-\ufb06]")
_SPACES = re.compile("[\t\xa0\u2002-\u200a\u202f\u205f\u3000]+")

_BROKEN_LINE = re.compile(r"[-\u2010\u2011][^\S\n]*+\n\s*+")
_COMPOUND = re.compile(r"\w++[-\u2010\u2011]\w++")
_CONJUNCTIONS = frozenset(("and", "or", "und", "oder", "bzw", "et", "ou", "и", "или", "y", "o", "e", "och", "en"))
_LONGEST_PART = 40


def normalise(text: str) -> str:
    """`text` in the one form of the archive (see the module's rules)."""
    for _ in range(_ROUNDS):
        before, text = text, _clean(text)
        if text == before or not ("&" in text or "<" in text):
            return text
    return _clean(_clean(text.replace("&", " ").replace("<", " ")))


def _clean(text: str) -> str:
    """One round. Leaves no line break, and is a fixed point on its own results unless they hold `&` or `<`."""
    if not text.isascii():
        text = unicodedata.normalize("NFC", text)
    if "&" in text:
        text = _ENTITY.sub(lambda match: html.unescape(match[0]), _AMPERSAND.sub("&", text))
    if "<" in text:
        text = _without_tags(text)
    if not text.replace("\n", " ").isprintable():
        text = _SPACES.sub(" ", text)
    if not text.replace("\n", " ").isprintable() or _LIGATURE.search(text):
        text = text.translate(_CHARACTERS)
        if "\u200c" in text or "\u200d" in text:
            text = _FOREIGN_JOINER.sub("", text)
    if "\n" in text:
        text = _joined_lines(text)
    text = " ".join(text.split())
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def _without_tags(text: str) -> str:
    text = _without_spans(text, "<!--", "-->")
    text = text.replace("<![CDATA[", "").replace("]]>", "")
    text = _without_spans(text, "\\documentclass", "\\begin{document}").replace("\\end{document}", "")
    # `x<b>y` may be arithmetic: a one-letter element counts where it is closed as well, `<p>` where no word precedes
    closed = {match[2].lower() for match in _TAG.finditer(text) if match[1]} if _LETTER_TAG.search(text) else ()

    def replacement(match: re.Match[str]) -> str:
        name = match[2].lower()
        if name not in _ELEMENTS:
            return match[0]
        if not match[1] and len(name) == 1 and name not in closed:
            before = text[match.start() - 1 : match.start()]
            if name != "p" or before.isalnum():
                return match[0]
        return " " if name in _BLOCKS else ""

    return _TAG.sub(replacement, text)


def _without_spans(text: str, opening: str, closing: str) -> str:
    """`text` without what stands from each `opening` to the next `closing`; an opening never closed stays."""
    parts, start = [], 0
    while (begin := text.find(opening, start)) >= 0:
        end = text.find(closing, begin + len(opening))
        if end < 0:
            break
        parts.append(text[start:begin])
        start = end + len(closing)
    return " ".join([*parts, text[start:]]) if parts else text


def _joined_lines(text: str) -> str:
    """Undo hyphenation at line ends; other line breaks are left for the collapse of white space."""
    compounds: set[str] | None = None

    def replacement(match: re.Match[str]) -> str:
        nonlocal compounds
        hyphen = match[0][0]
        before = _word_ending(text, match.start())
        after = _word_starting(text, match.end())
        if not before or not after or after.lower() in _CONJUNCTIONS:
            return f"{hyphen} "
        if not (before.isalpha() and after[0].islower() and len(before) > 1):
            return hyphen
        if text[match.start() - len(before) - 1 : match.start() - len(before)] in ("-", "\u2010", "\u2011"):
            return hyphen
        if compounds is None:
            compounds = set(_COMPOUND.findall(text.lower()))
        return hyphen if f"{before}{hyphen}{after}".lower() in compounds else ""

    return _BROKEN_LINE.sub(replacement, text)


def _word_ending(text: str, stop: int) -> str:
    """The letters and digits that end at `stop`, at most `_LONGEST_PART` of them."""
    start = stop
    while start > 0 and stop - start < _LONGEST_PART and text[start - 1].isalnum():
        start -= 1
    return text[start:stop]


def _word_starting(text: str, start: int) -> str:
    stop = start
    while stop < len(text) and stop - start < _LONGEST_PART and text[stop].isalnum():
        stop += 1
    return text[start:stop]
