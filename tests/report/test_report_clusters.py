"""The section on clusters, read as a browser would, and its map."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest
from edition_rows import document
from test_report_page import Page

from kartoteka import edition as editions
from kartoteka import report
from kartoteka.card import Cluster, cards
from kartoteka.clustering.summary import CLUSTERS_SCHEMA, SUMMARY_SCHEMA
from kartoteka.edition import MANIFEST
from kartoteka.report.bubbles import Bubble, bubbles
from kartoteka.storage import Storage

EVIL = "<script>alert(1)</script>"


def cluster(number: int, size: int, **values: Any) -> dict[str, Any]:
    row = {"cluster": number, "size": size, "inertia": 0.1, "distance": 0.5, "purity": None, "dominant": None}
    row |= {"terms": [f"term{number}"], "keyphrases": [f"phrase {number}"], "medoids": ["a"]}
    return {**row, "x": float(number), "y": float(number % 3), **values}


@pytest.fixture
def edition(make_edition: Callable[..., str]) -> Callable[..., str]:
    """An edition of three documents whose clusters are the given rows."""

    def make(rows: list[dict[str, Any]]) -> str:
        path = make_edition({"documents": [document(name) for name in "abc"]}, counts={"documents": 3})
        storage = Storage(path)
        of = pa.Table.from_pylist(
            [{"id": name, "cluster": 1, "distance": 0.5} for name in "abc"], schema=CLUSTERS_SCHEMA
        )
        tables = {"clusters/part-00000.parquet": of}
        tables["clusters/summary.parquet"] = pa.Table.from_pylist(rows, schema=SUMMARY_SCHEMA)
        manifest = storage.get_json(MANIFEST)
        manifest["files"] |= {name: storage.put_table(name, table).as_dict() for name, table in tables.items()}
        storage.put_json(MANIFEST, manifest)
        return path

    return make


def test_clusters_are_on_a_map_and_the_largest_in_a_table(edition: Callable[..., str]) -> None:
    page = Page(report.build(edition([cluster(0, 2), cluster(1, 40, terms=["libraries", EVIL]), cluster(2, 0)])))
    assert "42 documents in 2 clusters, 21.0 each; empty clusters: 1." in page.text
    assert len([c for c in page.named("circle") if c.get("class") == "bubble"]) == 2
    assert "cluster 1, 40 documents: libraries" in page.text
    assert EVIL in page.text  # as text, not as a tag
    assert page.named("script") == []
    assert "No labels were predicted." in page.text
    assert page.text.index("phrase 1") < page.text.index("phrase 0")


def test_purity_is_shown_where_there_are_labels(edition: Callable[..., str]) -> None:
    page = Page(report.build(edition([cluster(n, 5, purity=0.9, dominant="positive") for n in range(4)])))
    assert "Most in 90: 4." in page.text
    assert "No labels were predicted." not in page.text


def test_an_edition_without_clusters_says_so(make_edition: Callable[..., str]) -> None:
    assert "This edition has no clusters." in Page(report.build(make_edition({"documents": [document("a")]}))).text


def test_a_card_says_which_cluster_its_document_is_in(edition: Callable[..., str]) -> None:
    opened = editions.open(edition([cluster(0, 2), cluster(1, 40)]))
    assert cards(opened, ["b"])["b"].cluster == Cluster(1, 40, ("term1",))


def test_a_bubble_has_the_area_of_its_size_and_stays_on_the_map() -> None:
    drawn = bubbles([Bubble(-5, 2, 100, "a" * 24, ""), Bubble(7, 9, 25, "b", ""), Bubble(1, 1, 0, "", "")], label="m")
    radii = [float(r) for r in re.findall(r'<circle[^>]* r="([\d.]+)"', drawn)]
    assert radii[0] == 2 * radii[1] > 4 * radii[2] > 0
    wide, high = map(float, re.search(r'viewBox="0 0 (\d+) (\d+)"', drawn).groups())
    for x, y in re.findall(r'c?x="(-?[\d.]+)" c?y="(-?[\d.]+)"', drawn):
        assert 0 <= float(x) <= wide
        assert 0 <= float(y) <= high


def test_names_that_would_collide_are_left_out() -> None:
    near = [Bubble(0, 0, 9, "first", ""), Bubble(0.001, 0, 8, "second", ""), Bubble(50, 50, 1, "far", "")]
    assert re.findall(r"<text[^>]*>(\w+)<", bubbles(near, label="m")) == ["first", "far"]


def test_one_bubble_and_none_are_maps_too() -> None:
    assert bubbles([Bubble(3, 3, 1, "x", "")], label="m").count("<circle") == 1
    assert bubbles([], label="m").count("<circle") == 0
