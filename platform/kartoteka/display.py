"""Text and figures as a person is shown them, on a page or in a terminal. Records are written by strangers."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

# C0/C1 controls drive terminals and are not allowed in HTML; bidirectional overrides reorder what stands around them.
_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ufdd0-\ufdef\ufffe\uffff\ud800-\udfff]")


def clean(text: str) -> str:
    """`text` without control characters, bidirectional overrides and lone surrogates."""
    return _UNSAFE.sub("\ufffd", text)


def clip(text: str, limit: int) -> str:
    """At most `limit` characters of `text` on one line, cut at a word where there is one, with an ellipsis."""
    line = clean(" ".join(text[: 4 * limit].split()))
    if len(line) <= limit and len(text) <= 4 * limit:
        return line
    head = line[:limit]
    return (head[: head.rfind(" ")] if " " in head[limit // 2 :] else head).rstrip(" ,;:") + "…"


def number(value: float | None, digits: int = 0) -> str:
    """`12,345` or `0.123`; an en dash for what was not measured."""
    return "–" if value is None else f"{value:,.{digits}f}"


def quantity(value: float | None) -> str:
    """Three significant figures for what spans magnitudes: `1,234`, `12.3`, `0.0123`."""
    if value is None:
        return "–"
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.{2 - math.floor(math.log10(abs(value)))}f}"


def duration(seconds: float | None) -> str:
    """`850 ms`, `12.3 s`, `4 min 05 s`, `3 h 20 min`."""
    if seconds is None:
        return "–"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60:,} h {minutes % 60:02d} min"


def size(count: float | None) -> str:
    """Bytes in decimal units, as disks are sold."""
    if count is None:
        return "–"
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if count < 1000 or unit == "TB":
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    raise AssertionError("the last unit returns")


#: A manifest's keys are sorted; readers know the order of the papers' tables. Metrics not named here follow.
_METRICS = ("F1@5", "F1@10", "F1@M", "F1@O", "present", "reordered", "mixed", "unseen", "R ", "M ", "U ", "absent")


def papers_order(metric: tuple[str, Any]) -> tuple[int, str]:
    """Sort key of `(name, measurement)` pairs."""
    name = metric[0]
    return next((i for i, start in enumerate(_METRICS) if name.startswith(start)), len(_METRICS)), name


#: By what ranked instead of a ranker, as `quality.system` of a manifest says it.
_UNCALIBRATED = {
    "prior": "too few annotated documents to learn from: a fixed formula ranks",
    "votes": "the votes of the neighbours rank, as configured",
    "taken_over": "the ranker knows too many of this archive's documents; the fusion it came with ranks",
}


def scores_note(quality: Mapping[str, Any]) -> str | None:
    """Why an edition's scores are no probabilities, by its manifest's `quality`; None if they are, or it is unknown."""
    if quality.get("calibrated") is not False:
        return None
    why = _UNCALIBRATED.get(quality.get("system"), "nothing was fitted")
    return f"Scores are no probabilities, they only order the phrases of a document: {why}."


def percent_scale(values: Iterable[float]) -> int:
    """What metrics are multiplied by to stand in percent, as the papers print them: they may be shares in [0, 1]."""
    return 100 if max(values) <= 1 else 1
