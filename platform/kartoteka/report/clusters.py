"""The section on the clusters: a map of them, how large they are, what the largest are about, and how pure they are."""

from __future__ import annotations

from collections import Counter
from typing import Any

from kartoteka.display import clip, number
from kartoteka.edition import Edition
from kartoteka.report import plots
from kartoteka.report.bubbles import Bubble, bubbles
from kartoteka.report.content import absent
from kartoteka.report.html import Markup, element, join

#: More bubbles than this hide each other; so many rows are read.
_BUBBLES, _ROWS = 600, 15
_TERMS, _PHRASES = 6, 4


def section(edition: Edition) -> Markup:
    """What `clusters/summary.parquet` says."""
    summary = edition.summary("clusters")
    if summary is None:
        return absent("This edition has no clusters.")
    rows = sorted(summary.to_pylist(), key=lambda row: (-row["size"], row["cluster"]))
    held = [row for row in rows if row["size"]]
    documents = sum(row["size"] for row in held)
    about = f"{documents:,} documents in {len(held):,} clusters, {documents / max(len(held), 1):,.1f} each"
    about += f"; empty clusters: {len(rows) - len(held):,}." if len(held) < len(rows) else "."
    return join(
        [
            element("p", about),
            element("h3", "Map"),
            bubbles([_bubble(row) for row in held[:_BUBBLES]], label="Map of the clusters"),
            element("p", _legend(len(held)), class_="soft small"),
            element("h3", "The largest"),
            _largest(held[:_ROWS], documents),
            element(
                "div",
                element("div", element("h3", "Sizes"), _sizes(held)),
                element("div", element("h3", "Purity"), _purity(held)),
                class_="two",
            ),
        ]
    )


def _bubble(row: dict[str, Any]) -> Bubble:
    said = f"cluster {row['cluster']}, {row['size']:,} documents: {', '.join(row['terms'][:_TERMS])}"
    return Bubble(row["x"], row["y"], row["size"], clip(row["terms"][0], 24) if row["terms"] else "", clip(said, 200))


def _legend(held: int) -> str:
    shown = f"The {_BUBBLES:,} largest of {held:,} clusters" if held > _BUBBLES else "Each cluster"
    return f"{shown} at its centre, by area as many as its documents: near ones are alike, wide distances say little."


def _largest(rows: list[dict[str, Any]], documents: int) -> Markup:
    lines = [
        (
            [
                str(row["cluster"]),
                element("span", clip(", ".join(row["terms"][:_TERMS]), 120), dir="auto"),
                element("span", clip("; ".join(row["keyphrases"][:_PHRASES]), 120), dir="auto"),
                number(row["size"]),
                f"{row['size'] / documents:.1%}",
            ],
            row["size"],
        )
        for row in rows
    ]
    head = ["cluster", "terms", "keyphrases", "documents", "share"]
    return plots.bars(head, lines, caption="The largest clusters", numeric=(3, 4))


def _sizes(rows: list[dict[str, Any]]) -> Markup:
    return plots.histogram(Counter(row["size"] for row in rows), label="Clusters by how many documents they hold")


def _purity(rows: list[dict[str, Any]]) -> Markup:
    shares = [row["purity"] for row in rows if row["purity"] is not None]
    if not shares:
        return absent("No labels were predicted.")
    return plots.histogram(Counter(round(100 * share) for share in shares), label="Clusters by purity in percent")
