"""Plots as plain HTML and SVG: no script, sharp at any width, coloured by the page's own light or dark palette.

A bar stands in a row of a table, which is its own text alternative; what is drawn freely has `role="img"` and words.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from kartoteka.display import number
from kartoteka.report.html import Child, Markup, element, table


def bars(
    head: Sequence[str], rows: Sequence[tuple[Sequence[Child], float]], *, caption: str, numeric: Sequence[int]
) -> Markup:
    """A table whose last column is a bar: `rows` are (cells, length of the bar); the longest fills its column."""
    longest = max((value for _, value in rows), default=0) or 1
    return table(
        [*head, ""],
        [[*cells, element("div", _filled(value / longest), class_="bar")] for cells, value in rows],
        caption=caption,
        numeric=numeric,
        class_="bars",
    )


def meter(share: float) -> Markup:
    """A small bar for a value in [0, 1] that stands beside the figure itself."""
    return element("span", _filled(share), class_="meter", aria_hidden="true")


def _filled(share: float) -> Markup:
    return element("i", style=f"width:{100 * min(1.0, max(0.0, share)):.1f}%")


def stack(parts: Sequence[tuple[str, float, str]], *, label: str) -> Markup:
    """One bar of a whole cut into `(name, amount, class)`, with a key that gives each share."""
    whole = sum(amount for _, amount, _ in parts) or 1
    shares = [(name, amount / whole, class_) for name, amount, class_ in parts]
    said = f"{label}: " + ", ".join(f"{name} {share:.0%}" for name, share, _ in shares)
    bar = [element("i", class_=class_, style=f"flex:{share:.4f} 1 0") for _, share, class_ in shares if share > 0]
    key = [
        element("li", f"{name} ", element("strong", f"{share:.1%}"), class_=class_) for name, share, class_ in shares
    ]
    return Markup(element("div", bar, class_="stack", role="img", aria_label=said) + element("ul", key, class_="key"))


def histogram(counts: Mapping[int, int], *, label: str, most_bars: int = 60) -> Markup:
    """Columns over whole numbers (years), in bins of equal width; lone outliers at the ends are told, not drawn."""
    first, last = _core(counts)
    width = max(1, math.ceil((last - first + 1) / most_bars))
    bins = [0] * ((last - first) // width + 1)
    outside = 0
    for value, count in counts.items():
        if first <= value <= last:
            bins[(value - first) // width] += count
        else:
            outside += count
    top = max(bins)
    peak = bins.index(top)
    at = f"{first + peak * width}" + (f"–{min(last, first + (peak + 1) * width - 1)}" if width > 1 else "")
    said = f"{label}, {first} to {last}; most, {top:,}, in {at}"
    columns = [
        element("i", style=f"height:{100 * n / top:.1f}%", title=f"{first + i * width}: {n:,}")
        for i, n in enumerate(bins)
    ]
    note = f"Most in {at}: {top:,}." + (f" {outside:,} outside {first}–{last}." if outside else "")
    return Markup(
        element("div", columns, class_="columns", role="img", aria_label=said)
        + element("div", *(element("span", t) for t in _ticks(first, last)), class_="ticks", aria_hidden="true")
        + element("p", note, class_="soft small")
    )


def _core(counts: Mapping[int, int]) -> tuple[int, int]:
    """The range that holds all but half a percent at either end, when the whole range is too wide to read."""
    values = sorted(counts)
    if values[-1] - values[0] <= 150:
        return values[0], values[-1]
    spare = sum(counts.values()) / 200
    ends = []
    for order in (values, values[::-1]):
        seen = 0
        for value in order:
            seen += counts[value]
            if seen > spare:
                ends.append(value)
                break
    return ends[0], ends[1]


def _ticks(first: int, last: int) -> list[int]:
    return sorted({first, (first + last) // 2, last})


def interval(value: float, low: float | None, high: float | None, beside: float | None, top: float) -> Markup:
    """A dot with its interval on a scale from 0 to `top`, and a mark at the value it is compared with."""

    def at(x: float) -> str:
        return f"{100 * min(1.0, max(0.0, x / top)):.2f}%"

    parts = []
    if low is not None and high is not None:
        parts.append(element("b", style=f"left:{at(low)};width:{at(high - low)}"))
    if beside is not None:
        parts.append(element("u", style=f"left:{at(beside)}"))
    parts.append(element("i", style=f"left:{at(value)}"))
    return element("div", parts, class_="range")


_SIDE, _LEFT, _UNDER, _TOP = 300, 46, 44, 10


def calibration(
    bins: Sequence[Mapping[str, Any]],
    ece: float | None,
    *,
    counted: str = "phrases",
    right: str = "share that the cataloguers gave",
) -> Markup:
    """Score against share correct, one dot a bin (area by count), beside the diagonal of perfect calibration.

    `counted` names what has the scores, `right` the vertical axis.
    """

    def xy(x: float, y: float) -> str:
        return f"{_LEFT + _SIDE * x:.1f},{_TOP + _SIDE * (1 - y):.1f}"

    drawn = [b for b in bins if b["count"] > 0]
    most = max((b["count"] for b in drawn), default=1)
    marks: list[Markup] = []
    for tenth in range(0, 11, 2):
        t = tenth / 10
        x, y = _LEFT + _SIDE * t, _TOP + _SIDE * (1 - t)
        marks.append(element("path", d=f"M{xy(t, 0)}L{xy(t, 1)}M{xy(0, t)}L{xy(1, t)}", class_="grid"))
        marks.append(element("text", f"{t:.1f}", x=f"{x:.1f}", y=_TOP + _SIDE + 16, text_anchor="middle"))
        marks.append(element("text", f"{t:.1f}", x=_LEFT - 6, y=f"{y + 4:.1f}", text_anchor="end"))
    marks.append(element("path", d=f"M{xy(0, 0)}L{xy(1, 1)}", class_="ideal"))
    marks.append(element("path", d=f"M{xy(0, 1)}L{xy(0, 0)}L{xy(1, 0)}", class_="axis"))
    if drawn:
        line = "L".join(xy(b["mean_score"], b["share_correct"]) for b in drawn)
        marks.append(element("path", d=f"M{line}", class_="line"))
    for b in drawn:
        x, y = xy(b["mean_score"], b["share_correct"]).split(",")
        said = element(
            "title", f"{b['count']:,} {counted} of mean score {b['mean_score']:.2f}: {b['share_correct']:.0%} correct"
        )
        marks.append(
            element("circle", said, cx=x, cy=y, r=f"{2.5 + 7 * math.sqrt(b['count'] / most):.1f}", class_="dot")
        )
    middle = _TOP + _SIDE / 2
    marks.append(element("text", "score", x=_LEFT + _SIDE / 2, y=_TOP + _SIDE + 36, text_anchor="middle"))
    turned = f"rotate(-90 13 {middle})"
    marks.append(element("text", right, x=13, y=middle, text_anchor="middle", transform=turned))
    said = f"Share of correct {counted} against their score in {len(drawn)} bins"
    said += f"; expected calibration error {number(ece, 3)}" if ece is not None else ""
    box = f"0 0 {_LEFT + _SIDE + 12} {_TOP + _SIDE + _UNDER}"
    return element("svg", marks, viewBox=box, role="img", aria_label=said)
