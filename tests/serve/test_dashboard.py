"""The Grafana dashboard asks for figures that exist, ours and Serve's, and shows all of ours."""

from __future__ import annotations

import json
import re
from itertools import combinations
from pathlib import Path

import promql_parser
import pytest
import ray.serve

from serve.figures import FIGURES, PREFIX

DASHBOARD = json.loads(
    (Path(__file__).parents[2] / "platform" / "deploy" / "grafana" / "kartoteka.json").read_text(encoding="utf-8")
)
QUERIES = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
VARIABLES = {variable["name"] for variable in DASHBOARD["templating"]["list"]}
#: What Grafana puts in place of them: several values are a regular expression, escaped for a string of PromQL.
FILLED = {"__rate_interval": "1m0s", "route": r"(/v1/embed|/v1/documents/\\{id\\})"}
#: What Prometheus appends to the name of a histogram, and of a counter.
OF_HISTOGRAM = ("_bucket", "_sum", "_count")


def names() -> set[str]:
    text = " ".join([*QUERIES, *(variable.get("definition", "") for variable in DASHBOARD["templating"]["list"])])
    return {name.removeprefix(PREFIX) for name in re.findall(rf"\b{PREFIX}[a-z_]+", text)}


@pytest.mark.parametrize("query", QUERIES)
def test_queries_are_promql(query: str) -> None:
    filled = re.sub(r"\$(\w+)", lambda variable: FILLED[variable[1]], query)
    assert promql_parser.parse(filled).prettify()


def test_our_figures_exist_and_are_all_shown() -> None:
    shown = set()
    for name in names():
        if name.startswith("kartoteka_"):
            figure = FIGURES[re.sub("_(bucket|sum|count)$", "", name)]
            assert name.endswith(OF_HISTOGRAM) == bool(figure.bounds), name
            shown.add(figure.name)
    assert shown == set(FIGURES)


def test_labels_that_are_asked_for_are_those_of_the_figures() -> None:
    of_serve = {"deployment", "replica", "application"}
    for query in QUERIES:
        figures = [FIGURES[name] for name in FIGURES if name in query]
        asked = set(re.findall(r'(\w+)=~?"', query))
        for grouped in re.findall(r"by \(([^)]*)\)", query):
            asked |= {label.strip() for label in grouped.split(",")}
        for figure in figures:
            assert asked <= {*figure.labels, *of_serve, "le"}, query
            assert asked >= set(figure.labels) & {"edition"}


def test_figures_of_serve_exist_in_the_ray_that_is_installed() -> None:
    source = "".join(path.read_text(encoding="utf-8") for path in Path(ray.serve.__file__).parent.rglob("*.py"))
    of_serve = {name for name in names() if name.startswith("serve_")}
    assert of_serve
    for name in of_serve:
        assert f'"{re.sub("_(bucket|sum|count|total)$", "", name)}"' in source, name


def test_panels_have_places_of_their_own_and_known_variables() -> None:
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    for one, other in combinations([panel["gridPos"] for panel in panels], 2):
        apart = [one[a] + one[size] <= other[a] or other[a] + other[size] <= one[a] for a, size in ("xw", "yh")]
        assert any(apart)
    for query in QUERIES:
        assert set(re.findall(r"\$(\w+)", query)) <= VARIABLES | {"__rate_interval"}
