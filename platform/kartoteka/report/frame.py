"""The frame of every page we write: one file without scripts, requests or fonts, for a desk, a phone and paper."""

from __future__ import annotations

from collections.abc import Sequence

from kartoteka.report.html import Child, Markup, element
from kartoteka.report.style import CSS

# Nothing may load and nothing may run, whatever text a record brought in.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"


def page(title: str, body: Sequence[Child]) -> str:
    """A whole HTML document."""
    head = [
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        element("title", title),
        element("style", Markup(CSS)),
    ]
    return "<!doctype html>\n" + element("html", element("head", head), element("body", body), lang="en") + "\n"


def sections(parts: Sequence[tuple[str, str, Child]]) -> Markup:
    """`main` with a list of links and the sections (key, title, inside)."""
    links = [element("li", element("a", title, href=f"#{key}")) for key, title, _ in parts]
    return element("main", element("nav", element("ul", links), aria_label="Sections"), map(_section, parts))


def tiles(pairs: Sequence[tuple[str, str]]) -> Markup:
    """The few figures one looks at first: (name, value)."""
    return element(
        "dl", [element("div", element("dt", name), element("dd", value)) for name, value in pairs], class_="tiles"
    )


def _section(part: tuple[str, str, Child]) -> Markup:
    key, title, inside = part
    return element("section", element("h2", title, id=f"{key}-title"), inside, id=key, aria_labelledby=f"{key}-title")
