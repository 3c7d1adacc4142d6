"""One document of an edition as a catalogue card: what it is, its keyphrases, and why each of them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
from rich.console import Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from kartoteka.display import clean, clip
from kartoteka.edition import Edition

#: What a card is made from: columns of `documents`, and of `labels`.
CARD_COLUMNS = ["id", "title", "abstract", "lang", "year", "keyphrases", "source"]
LABEL_COLUMNS = ["label", "probability", "reliable"]
_BAR = 10
_SHOWN_NEIGHBOURS = 3
_SHOWN_ABSTRACT = 4000
_CATEGORY_STYLE = {"present": "blue", "reordered": "green", "mixed": "yellow", "unseen": "magenta"}


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A document that carries the phrase; `title` is None when the edition no longer holds it."""

    id: str
    title: str | None


@dataclass(frozen=True, slots=True)
class Keyphrase:
    """A keyphrase with its reasons; `score` in [0, 1] is a probability unless the edition says that it is none."""

    phrase: str
    score: float
    category: str
    origins: tuple[str, ...]
    neighbours: tuple[Neighbour, ...]
    concept: str | None


@dataclass(frozen=True, slots=True)
class Cluster:
    """The cluster a document is in: how many documents it holds, and the terms that describe it."""

    number: int
    size: int
    terms: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Label:
    """What the sentiment classifier says of a document; `reliable`: it is sure, and so is the cluster around."""

    name: str
    probability: float
    reliable: bool


@dataclass(frozen=True, slots=True)
class Card:
    """A document; `own` are its author's or cataloguer's phrases.

    `keyphrases`, `cluster` and `label` are None where the edition holds none.
    """

    id: str
    title: str
    abstract: str
    lang: str
    year: int | None
    own: tuple[str, ...]
    source: str
    keyphrases: tuple[Keyphrase, ...] | None
    cluster: Cluster | None
    label: Label | None


def cards(edition: Edition, ids: Collection[str]) -> dict[str, Card]:
    """The cards of `ids`, in the order asked for; an id that the edition does not hold is left out.

    Reads the id columns of the edition once, whatever the number of ids. Raises `ValueError`: there is no table
    `documents`.
    """
    documents = _rows(edition.table("documents"), ids, CARD_COLUMNS)
    explained = {}
    if edition.files("keyphrases"):
        explained = _rows(edition.table("keyphrases"), ids, ["id", "keyphrases"])
    carriers = carriers_of(row["keyphrases"] for row in explained.values())
    titles = {i: row["title"] for i, row in _rows(edition.table("documents"), carriers, ["id", "title"]).items()}
    clusters, labels = _clusters(edition, ids), _labels(edition, ids)
    return {
        i: assemble(row, explained[i]["keyphrases"] if i in explained else None, titles, clusters.get(i), labels.get(i))
        for i in ids
        if (row := documents.get(i)) is not None
    }


def assemble(
    document: Mapping[str, Any],
    keyphrases: Sequence[Mapping[str, Any]] | None,
    titles: Mapping[str, str],
    cluster: Cluster | None,
    label: Label | None,
) -> Card:
    """A card from a row of `documents`, its list in `keyphrases`, and the titles of the documents named there."""
    return Card(
        id=document["id"],
        title=document["title"],
        abstract=document["abstract"],
        lang=document["lang"],
        year=document["year"],
        own=tuple(document["keyphrases"]),
        source=document["source"],
        keyphrases=None if keyphrases is None else _keyphrases(keyphrases, titles),
        cluster=cluster,
        label=label,
    )


def carriers_of(lists: Iterable[Sequence[Mapping[str, Any]]]) -> set[str]:
    """The ids of all documents that lists of keyphrases name as neighbours."""
    return {neighbour for phrases in lists for phrase in phrases for neighbour in phrase["neighbours"]}


def cluster_of(summary: pa.Table, number: int) -> Cluster:
    """A cluster by its number, which is its row in the summary of the table `clusters`."""
    return Cluster(number, summary["size"][number].as_py(), tuple(summary["terms"][number].as_py()))


def label_of(row: Mapping[str, Any]) -> Label:
    """What a row of the table `labels` says."""
    return Label(row["label"], row["probability"], row["reliable"])


def _clusters(edition: Edition, ids: Collection[str]) -> dict[str, Cluster]:
    summary = edition.summary("clusters")
    if summary is None:
        return {}
    rows = _rows(edition.table("clusters"), ids, ["id", "cluster"])
    return {i: cluster_of(summary, row["cluster"]) for i, row in rows.items()}


def _labels(edition: Edition, ids: Collection[str]) -> dict[str, Label]:
    if not edition.files("labels"):
        return {}
    rows = _rows(edition.table("labels"), ids, ["id", *LABEL_COLUMNS])
    return {i: label_of(row) for i, row in rows.items()}


def _rows(table: ds.Dataset, ids: Collection[str], columns: list[str]) -> dict[str, dict[str, Any]]:
    if not ids:
        return {}
    wanted = ds.field("id").isin(pa.array(sorted(ids), pa.string()))
    return {row["id"]: row for row in table.to_table(columns=columns, filter=wanted).to_pylist()}


def _keyphrases(values: Sequence[Mapping[str, Any]], titles: Mapping[str, str]) -> tuple[Keyphrase, ...]:
    return tuple(
        Keyphrase(
            phrase=v["phrase"],
            score=v["score"],
            category=v["category"],
            origins=tuple(v["origins"]),
            neighbours=tuple(Neighbour(n, titles.get(n)) for n in v["neighbours"]),
            concept=v["concept"],
        )
        for v in values
    )


def render(card: Card) -> Panel:
    """The card for a rich console. Text of the record is shown as it is, never as markup or terminal codes."""
    facts = [card.lang, str(card.year) if card.year is not None else None, card.id]
    parts: list[Any] = [
        Text(clean(card.title) or "(no title)", style="bold"),
        Text(clean(" · ".join(filter(None, facts))), "dim"),
    ]
    if card.abstract:
        parts += [Text(), Text(clip(card.abstract, _SHOWN_ABSTRACT))]
    if card.own:
        parts += [Text(), Text.assemble(("its own: ", "dim"), clean("; ".join(card.own)))]
    parts += [Text(), _table(card.keyphrases)]
    if card.cluster:
        where = f"cluster {card.cluster.number}, {card.cluster.size:,} documents: "
        parts += [Text(), Text.assemble((where, "dim"), clean(", ".join(card.cluster.terms)))]
    if card.label:
        said = f"{card.label.name} {card.label.probability:.2f}, {'' if card.label.reliable else 'not '}reliable"
        parts += [Text(), Text.assemble(("sentiment: ", "dim"), said)]
    parts += [Text(), Text.assemble(("from ", "dim"), (clean(card.source), "dim"))]
    return Panel(Group(*parts), padding=(1, 2), width=None)


def _table(keyphrases: tuple[Keyphrase, ...] | None) -> Table | Text:
    if keyphrases is None:
        return Text("no keyphrases in this edition", style="dim")
    if not keyphrases:
        return Text("no keyphrase found for this document", style="dim")
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(ratio=1)
    for k in keyphrases:
        filled = round(max(0.0, min(1.0, k.score)) * _BAR)
        bar = Text.assemble(("█" * filled, "cyan"), ("░" * (_BAR - filled), "dim"), f" {k.score:.2f}")
        table.add_row(bar, Group(*_reasons(k)))
    return table


def _reasons(k: Keyphrase) -> list[Text]:
    """The phrase, its category and origins; below, one line for each neighbour shown."""
    lines = [
        Text.assemble(
            (clean(k.phrase), "bold"),
            "  ",
            (clean(k.category), _CATEGORY_STYLE.get(k.category, "")),
            (clean(" · " + ", ".join(k.origins)), "dim"),
        )
    ]
    for neighbour in k.neighbours[:_SHOWN_NEIGHBOURS]:
        title = clip(neighbour.title or neighbour.id, 200)
        lines.append(Text(f"↳ {title}", style="dim", no_wrap=True, overflow="ellipsis"))
    if len(k.neighbours) > _SHOWN_NEIGHBOURS:
        lines.append(Text(f"  and {len(k.neighbours) - _SHOWN_NEIGHBOURS} more", style="dim"))
    if k.concept:
        lines.append(Text(f"= {clean(k.concept)}", style="dim"))
    return lines
