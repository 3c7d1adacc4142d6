"""A map of bubbles as SVG without a script: places, areas, and names where there is room for them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from kartoteka.report.html import Markup, element

_WIDE, _HIGH, _EDGE = 960, 560, 40
#: Radius of the largest bubble, and of the smallest that is still seen.
_LARGEST, _SMALLEST = 34.0, 2.5
#: Size of a name, and how wide a letter of it is at most.
_LETTER, _LETTER_WIDTH = 13, 7.5


@dataclass(frozen=True, slots=True)
class Bubble:
    """A circle at (`x`, `y`) with an area in proportion to `size`; a `name` on it, and what is `said` on hovering."""

    x: float
    y: float
    size: float
    name: str
    said: str


def bubbles(given: Sequence[Bubble], *, label: str) -> Markup:
    """The map. The first of `given` lie undermost and are the first to get their names, where these do not collide."""
    xs, ys = ([getattr(bubble, axis) for bubble in given] or [0.0] for axis in ("x", "y"))
    left, low = min(xs), min(ys)
    across, up = max(xs) - left or 1.0, max(ys) - low or 1.0
    largest = max((bubble.size for bubble in given), default=1.0) or 1.0
    circles, texts = [], []
    taken: list[tuple[float, float, float]] = []
    for bubble in given:
        x = _EDGE + (_WIDE - 2 * _EDGE) * (bubble.x - left) / across
        y = _HIGH - _EDGE - (_HIGH - 2 * _EDGE) * (bubble.y - low) / up
        radius = max(_SMALLEST, _LARGEST * math.sqrt(bubble.size / largest))
        said = element("title", bubble.said)
        circles.append(element("circle", said, cx=f"{x:.1f}", cy=f"{y:.1f}", r=f"{radius:.1f}", class_="bubble"))
        half = _LETTER_WIDTH * len(bubble.name) / 2
        middle = min(max(x, half), _WIDE - half)
        if bubble.name and _free(taken, middle, y, half):
            taken.append((middle, y, half))
            texts.append(element("text", bubble.name, x=f"{middle:.1f}", y=f"{y + 4:.1f}", text_anchor="middle"))
    whole = f"{label}: {len(given):,} bubbles, the largest " + "; ".join(bubble.said for bubble in given[:3])
    box = f"0 0 {_WIDE} {_HIGH}"
    return element("svg", circles, texts, viewBox=box, role="img", aria_label=whole, class_="map")


def _free(taken: Sequence[tuple[float, float, float]], x: float, y: float, half: float) -> bool:
    """Whether a name of half that width collides with none that stands already."""
    return all(abs(y - other) > _LETTER or abs(x - at) > half + width for at, other, width in taken)
