"""One form of a text, whatever it came in."""

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kartoteka.text.normalise import normalise

pieces = [
    "<", ">", "&", "amp;", "lt;", "#38;", "#x26;", "#10;", "<p>", "</p>", "<b>", "</b>", "<jats:sec>", "<!--", "-->",
    "<![CDATA[", "]]>", "\\documentclass", "\\begin{document}", "-", "-\n", "\n", "\r\n", "\x20", "\t", "a", "word",
    "É", "e", "\u0301", "\u0323", "\u0338", "\u037e", "\u00ad", "\u200b", "\u200c", "\u200d", "\ufeff", "\x00",
    "\x96", "\x85", "\ufb01", "\ufb05", "\u1100", "\u1161", "\u11a8", "\u0631", "\ud800", "\ufffe", "\u2010",
    "\u2028", "7", ";",
]  # fmt: skip
hostile = st.lists(st.sampled_from(pieces), max_size=30).map("".join)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a < b and c > d", "a < b and c > d"),
        ("x<y and y>z", "x<y and y>z"),
        ("x<b>y", "x<b>y"),
        ("if 1<p<2 then p>1", "if 1<p<2 then p>1"),
        ("<p>An <i>in vitro</i> H<sub>2</sub>O</p><p>Next", "An in vitro H2O Next"),
        ("<jats:title>Aim</jats:title><jats:p>To do.</jats:p>", "Aim To do."),
        ("<a href='http://x.y?a=1&b=2'>link</a>", "link"),
        ("&amp;lt;p&amp;gt;R&amp;amp;D &#233;t&#xE9;", "R&D été"),
        ("AT&T &unknown; &copy;", "AT&T &unknown; ©"),
        ("Let $x<y$ \\alpha", "Let $x<y$ \\alpha"),
        ("f <tex-math>\\documentclass{minimal} \\begin{document}$x$\\end{document}</tex-math>", "f $x$"),
        ("computa-\ntion", "computation"),
        ("вычис-\r\n  ления", "вычисления"),
        ("k-\nmeans", "k-means"),
        ("Navier-\nStokes COVID-\n19", "Navier-Stokes COVID-19"),
        ("state-of-the-\nart", "state-of-the-art"),
        ("well-\nknown, a well-known", "well-known, a well-known"),
        ("short-\nand long-term", "short- and long-term"),
        ("com\u00adpu\u00adter \x00a\u200bb\ufeff", "computer ab"),
        ("ef\ufb01cient work\ufb02ow", "efficient workflow"),
        ("e\u0301", "é"),
        (" a\u00a0 \t\n b ", "a b"),
        ("1990\x961995", "1990–1995"),
        ("می\u200cخواهم a\u200cb", "می\u200cخواهم ab"),
        ("“quoted” «кавычки»", "“quoted” «кавычки»"),
        ("\ud800lone", "lone"),
        ("", ""),
    ],
)
def test_normalise(text: str, expected: str) -> None:
    assert normalise(text) == expected


@settings(max_examples=500)
@given(hostile | st.text(max_size=100) | st.text(st.characters(codec=None), max_size=30))
def test_normalising_again_changes_nothing(text: str) -> None:
    once = normalise(text)
    assert normalise(once) == once


@given(hostile)
def test_result_is_one_clean_line(text: str) -> None:
    once = normalise(text)
    assert unicodedata.is_normalized("NFC", once)
    assert not any(unicodedata.category(char) in ("Cc", "Cs") or char in "\u00ad\u200b\ufeff\ufb01" for char in once)
    assert once == " ".join(once.split())
    once.encode()


def test_entities_within_entities_end() -> None:
    text = "8"
    for _ in range(5_000):
        text = f"&#5{text};"
    assert normalise(normalise(text)) == normalise(text)


HOSTILE = ["<", "&", "&amp;", "-\n", "a-\n", "<p a=1 ", "<!--", "</b><b>", "\u0301", "a"]


@pytest.mark.parametrize("piece", HOSTILE)
def test_long_hostile_text_is_taken(piece: str) -> None:
    # A quadratic rule would take hours here
    text = piece * (1_000_000 // len(piece))
    once = normalise(text)
    assert len(once) <= len(text)
