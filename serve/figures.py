"""What the service counts, and `/metrics`.

Replicas are processes on several machines, and any of them may answer a request to `/metrics`. So figures go to Ray's
metrics, which an agent on each node gathers from its processes; `/metrics` hands on what the agents of all nodes hold
of Kartoteka and of Serve. It is up to 10 s old, the interval at which processes report. Where the environment names
an OTLP endpoint, histograms are sent there as well.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Iterable
from functools import cache
from typing import NamedTuple

import httpx
import ray
from ray.serve.metrics import Gauge, Histogram

from kartoteka import telemetry
from serve.problems import busy

logger = logging.getLogger(__name__)

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
#: Ray puts this before the names of all figures, ours too.
PREFIX = "ray_"
_SHOWN = re.compile(rf"{PREFIX}(kartoteka|serve)_")
_AGENT_TIMEOUT_S = 3.0
_SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120]
_POWERS = [float(2**n) for n in range(17)]


class Figure(NamedTuple):
    """One figure; without `bounds` a gauge, with them a histogram. Serve adds deployment and replica to its labels."""

    name: str
    about: str
    labels: tuple[str, ...] = ()
    bounds: list[float] | None = None


FIGURES = {
    figure.name: figure
    for figure in (
        Figure("kartoteka_request_seconds", "Seconds to answer.", ("route", "method", "status"), _SECONDS),
        Figure("kartoteka_requests_in_progress", "Requests a gateway replica works on."),
        Figure("kartoteka_batch_texts", "Texts of a batch.", bounds=_POWERS),
        Figure("kartoteka_batch_tokens", "Tokens of a batch, padding left out.", bounds=_POWERS),
        Figure("kartoteka_edition_info", "1 for the edition that a replica serves.", ("edition",)),
    )
}


def request(route: str, method: str, status: str, seconds: float) -> None:
    """Record one answer; `status` is its code, or `cancelled`."""
    _observe("kartoteka_request_seconds", seconds, {"route": route, "method": method, "status": status})


def in_progress(count: int) -> None:
    """Record how many requests this replica works on."""
    _gauge("kartoteka_requests_in_progress").set(count, {})


def batch(texts: int, tokens: int) -> None:
    """Record one batch."""
    _observe("kartoteka_batch_texts", texts, {})
    _observe("kartoteka_batch_tokens", tokens, {})


def edition(name: str, before: str | None) -> None:
    """Record that this replica serves `name`, and `before` no longer."""
    if before is not None:
        _gauge("kartoteka_edition_info").set(0, {"edition": before})
    _gauge("kartoteka_edition_info").set(1, {"edition": name})


async def render() -> bytes:
    """Prometheus text of all replicas. Raises `Problem` 503: no node's agent has answered."""
    nodes = [node for node in await asyncio.to_thread(ray.nodes) if node["Alive"]]
    addresses = [f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics" for node in nodes]
    # A proxy of the environment is for the world outside, not for the nodes of a cluster.
    async with httpx.AsyncClient(timeout=_AGENT_TIMEOUT_S, trust_env=False) as client:
        answers = await asyncio.gather(*(client.get(address) for address in addresses), return_exceptions=True)
    texts = [answer.text for answer in answers if isinstance(answer, httpx.Response) and answer.is_success]
    if len(texts) < len(nodes):
        logger.warning("metrics: %d of %d nodes have not answered", len(nodes) - len(texts), len(nodes))
    if not texts:
        raise busy("no node has told its metrics")
    return merged(texts)


def merged(texts: Iterable[str]) -> bytes:
    """One Prometheus text of the nodes' texts: the families of Kartoteka and of Serve, each with one head.

    Two nodes tell the same family, and the format wants all samples of a family together under one `HELP` and `TYPE`.
    """
    families: dict[str, list[str]] = {}
    for text in texts:
        said = set(families)
        family = ""
        for line in text.splitlines():
            if line.startswith("# "):
                family = line.split(" ", 3)[2]
            if _SHOWN.match(family) and not (line.startswith("# ") and family in said):
                families.setdefault(family, []).append(line)
    return "".join(f"{line}\n" for lines in families.values() for line in lines).encode()


def _observe(name: str, value: float, labels: dict[str, str]) -> None:
    _histogram(name).observe(value, labels)
    telemetry.histogram(name).record(value, labels)


@cache
def _histogram(name: str) -> Histogram:
    figure = FIGURES[name]
    assert figure.bounds
    return Histogram(name, figure.about, figure.bounds, figure.labels)


@cache
def _gauge(name: str) -> Gauge:
    figure = FIGURES[name]
    return Gauge(name, figure.about, figure.labels)
