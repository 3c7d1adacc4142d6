"""A curve over the steps of a run, as SVG without a script."""

from __future__ import annotations

import math
from collections.abc import Sequence

from kartoteka.display import quantity
from kartoteka.report.html import Markup, element

_WIDE, _HIGH, _LEFT, _TOP, _UNDER = 370, 190, 62, 10, 40
#: More points than this are averaged: no screen shows them apart.
_POINTS = 380


def curve(
    steps: Sequence[int],
    values: Sequence[float],
    *,
    name: str,
    dots: bool = False,
    marked: int | None = None,
    floor: float | None = None,
) -> Markup:
    """`values` over `steps`; a dot for every value where they are few, the step `marked` set off; from `floor` up."""
    points = _thin([(step, value) for step, value in zip(steps, values, strict=True) if math.isfinite(value)])
    if not points:
        return element("p", f"No {name} was recorded.", class_="none")
    last = max(1, points[-1][0])
    low = min(value for _, value in points) if floor is None else floor
    high = max(max(value for _, value in points), low + 1e-9)

    def xy(step: float, value: float) -> tuple[float, float]:
        return _LEFT + _WIDE * step / last, _TOP + _HIGH * (1 - (value - low) / (high - low))

    marks: list[Markup] = []
    for i in range(5):
        value, (x, y) = low + (high - low) * i / 4, xy(0, low + (high - low) * i / 4)
        marks.append(element("path", d=f"M{x:.1f},{y:.1f}h{_WIDE}", class_="grid"))
        marks.append(element("text", f"{value:.3g}", x=_LEFT - 6, y=f"{y + 4:.1f}", text_anchor="end"))
    for i in range(3):
        x, y = xy(last * i / 2, low)
        anchor = ("start", "middle", "end")[i]
        marks.append(element("text", f"{round(last * i / 2):,}", x=f"{x:.1f}", y=y + 16, text_anchor=anchor))
    line = "L".join(f"{x:.1f},{y:.1f}" for x, y in (xy(*point) for point in points))
    marks.append(element("path", d=f"M{line}", class_="line"))
    for step, value in points:
        if dots or step == marked:
            x, y = xy(step, value)
            said = element("title", f"step {step:,}: {quantity(value)}")
            marks.append(
                element("circle", said, cx=f"{x:.1f}", cy=f"{y:.1f}", r=5 if step == marked else 3, class_="dot")
            )
    marks.append(element("text", "steps", x=_LEFT + _WIDE / 2, y=_TOP + _HIGH + 34, text_anchor="middle"))
    said = f"{name}: from {quantity(points[0][1])} to {quantity(points[-1][1])} in {last:,} steps"
    box = f"0 0 {_LEFT + _WIDE + 12} {_TOP + _HIGH + _UNDER}"
    return element("svg", marks, viewBox=box, role="img", aria_label=said)


def _thin(points: list[tuple[int, float]]) -> list[tuple[float, float]]:
    if len(points) <= _POINTS:
        return list(points)
    width = math.ceil(len(points) / _POINTS)
    groups = [points[i : i + width] for i in range(0, len(points), width)]
    return [(group[-1][0], sum(value for _, value in group) / len(group)) for group in groups]
