"""Markup that cannot be forgotten to escape: text is escaped unless a function of this package made it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from kartoteka.display import clean

_VOID = frozenset({"meta", "br", "col"})


class Markup(str):
    """A piece of HTML that is already safe to insert."""

    __slots__ = ()


Child = str | int | float | None | Iterable["Child"]


def element(tag: str, *children: Child, **attributes: str | float | bool | None) -> Markup:
    """`<tag attributes>children</tag>`. Strings are escaped, `Markup` is not; `aria_label` is written `aria-label`."""
    words = [tag]
    for name, value in attributes.items():
        if value is None or value is False:
            continue
        name = name.rstrip("_").replace("_", "-")
        words.append(name if value is True else f'{name}="{escape(clean(str(value)))}"')
    start = f"<{' '.join(words)}>"
    return Markup(start if tag in _VOID else f"{start}{join(children)}</{tag}>")


def join(children: Iterable[Child]) -> Markup:
    """The children one after another, escaped where they are plain text."""
    return Markup("".join(_one(child) for child in children))


def _one(child: Child) -> str:
    if child is None:
        return ""
    if isinstance(child, Markup):
        return str(child)
    if isinstance(child, str):
        return escape(clean(child), quote=False)
    if isinstance(child, int | float):
        return str(child)
    return join(child)


def table(
    head: Sequence[str],
    rows: Iterable[Sequence[Child]],
    *,
    caption: str,
    numeric: Iterable[int] = (),
    class_: str | None = None,
) -> Markup:
    """A table with a caption for those who hear the page, column headers, and the first cell of a row as its header.

    `numeric`: the columns set flush right in figures of equal width.
    """
    right = frozenset(numeric)

    def cell(tag: str, column: int, content: Child, **more: str) -> Markup:
        return element(tag, content, class_="n" if column in right else None, **more)

    body = [
        element("tr", [cell("td" if i else "th", i, c, **({} if i else {"scope": "row"})) for i, c in enumerate(row)])
        for row in rows
    ]
    whole = element(
        "table",
        element("caption", caption, class_="aloud"),
        element("thead", element("tr", [cell("th", i, name, scope="col") for i, name in enumerate(head)])),
        element("tbody", body),
        class_=class_,
    )
    # A wide table scrolls in its own box, never the page; focusable so that it scrolls from a keyboard too.
    return element("div", whole, class_="scroll", role="region", aria_label=caption, tabindex=0)
