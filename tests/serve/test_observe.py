"""Traces, by what a collector receives; figures, by what Prometheus would read."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from prometheus_client.parser import text_string_to_metric_families
from serve_collector import collecting

from serve import figures

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.fixture
def collector() -> Iterator[tuple[str, list[Span]]]:
    with collecting() as found:
        yield found


def run_worker(endpoint: str | None) -> dict:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    if endpoint:
        environment["OTEL_EXPORTER_OTLP_ENDPOINT"] = endpoint
    root = Path(__file__).parents[2]
    environment["PYTHONPATH"] = os.pathsep.join([str(root / "platform"), str(root)])
    worker = [sys.executable, str(Path(__file__).with_name("traced_worker.py")), f"00-{TRACE}-{PARENT}-01"]
    return json.loads(subprocess.run(worker, env=environment, check=True, capture_output=True, timeout=60).stdout)


def test_a_trace_goes_from_the_client_to_the_batch(collector: tuple[str, list[Span]]) -> None:
    endpoint, spans = collector
    told = run_worker(endpoint)
    by_name: dict[str, list[Span]] = {}
    for span in spans:
        by_name.setdefault(span.name, []).append(span)
    assert {name: len(found) for name, found in by_name.items()} == {
        "POST /v1/work/{name}": 2,
        "ask encoder": 2,
        "encode": 1,
    }
    server = next(s for s in by_name["POST /v1/work/{name}"] if s.trace_id.hex() == TRACE)
    failed = next(s for s in by_name["POST /v1/work/{name}"] if s.trace_id.hex() != TRACE)
    assert (server.parent_span_id.hex(), server.kind) == (PARENT, Span.SPAN_KIND_SERVER)
    assert told["headers"][0]["traceresponse"] == f"00-{TRACE}-{server.span_id.hex()}-01"
    assert (server.status.code, failed.status.code) == (Status.STATUS_CODE_UNSET, Status.STATUS_CODE_ERROR)
    asked = next(s for s in by_name["ask encoder"] if s.trace_id.hex() == TRACE)
    assert asked.parent_span_id == server.span_id
    (batch,) = by_name["encode"]
    assert (batch.trace_id.hex(), batch.parent_span_id) == (TRACE, asked.span_id)
    assert [link.trace_id for link in batch.links] == [failed.trace_id]


def test_without_an_endpoint_the_clients_context_still_goes_through() -> None:
    told = run_worker(None)
    assert told["carriers"] == [{"traceparent": f"00-{TRACE}-{PARENT}-01"}, {}]


def node(name: str, value: int) -> str:
    """What an agent tells: two families to be shown, and others between them."""
    return "".join(
        f'# HELP {family} about {family}\n# TYPE {family} gauge\n{family}{{NodeAddress="{name}"}} {value}.0\n'
        for family in ("ray_kartoteka_edition_info", "ray_node_mem", "ray_serve_queued", "python_gc")
    )


def test_the_texts_of_nodes_are_one_text_that_prometheus_reads() -> None:
    text = figures.merged([node("a", 1), node("b", 2), ""]).decode()
    read = {family.name: family for family in text_string_to_metric_families(text)}
    assert set(read) == {"ray_kartoteka_edition_info", "ray_serve_queued"}
    for family in read.values():
        assert family.documentation == f"about {family.name}"
        assert [(s.labels["NodeAddress"], s.value) for s in family.samples] == [("a", 1.0), ("b", 2.0)]


def test_metrics_tell_what_was_recorded(ray_session: str) -> None:
    for seconds in (0.004, 0.2, 0.2):
        figures.request("/v1/test", "POST", "200", seconds)
    figures.batch(3, 300)
    figures.in_progress(2)
    figures.edition("e1", None)
    figures.edition("e2", "e1")
    until, read = time.monotonic() + 25, {}
    while not set(figures.FIGURES) <= read.keys() and time.monotonic() < until:
        time.sleep(1)
        text = asyncio.run(figures.render()).decode()
        read = {
            family.name.removeprefix("ray_"): own
            for family in text_string_to_metric_families(text)
            if (own := [s for s in family.samples if not s.labels.get("deployment")])  # a deployed app has figures too
        }
    seconds = {
        (s.name.rsplit("_", 1)[1], s.labels.get("le")): s.value
        for s in read["kartoteka_request_seconds"]
        if s.labels["route"] == "/v1/test"
    }
    assert seconds["count", None] == 3
    assert seconds["sum", None] == pytest.approx(0.4, abs=0.2)  # Ray tells histograms' sums by the middles of buckets
    assert (seconds["bucket", "0.005"], seconds["bucket", "0.25"]) == (1, 3)
    assert {s.labels["edition"]: s.value for s in read["kartoteka_edition_info"]} == {"e1": 0, "e2": 1}
    assert [s.value for s in read["kartoteka_requests_in_progress"]] == [2]
