"""A deadline ends the work it was set for in every replica that the work has reached, by the spans they send."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

#: Texts of a request, and the work with them: what of it is done in time is little, or the deadline comes too late.
TEXTS = 300
LONG = "word " * 900
WORK = {
    "/v1/embed": {"texts": [LONG] * TEXTS},  # the gateway asks the encoder
    "/v1/keyphrases": {"documents": [{"title": "A title", "abstract": LONG}] * TEXTS},  # the ranker does, for it
}


def ask(http: httpx.Client, path: str, body: dict[str, Any], seconds: float) -> tuple[int, bytes]:
    """The status of the answer, and the trace of the request."""
    trace = secrets.token_hex(16)
    headers = {"traceparent": f"00-{trace}-00f067aa0ba902b7-01", "X-Request-Timeout": str(seconds)}
    return http.post(path, json=body, headers=headers).status_code, bytes.fromhex(trace)


def has_ended(spans: list[Span], trace: bytes) -> bool:
    """Whether the encoder has done with a call for the trace; it tells so after it has told of its batches."""
    return any(span.name == "encode" and span.trace_id == trace for span in list(spans))


def encoded(spans: list[Span], trace: bytes) -> int:
    """Texts of the batches that the trace has a share in."""
    batches = [span for span in list(spans) if span.name == "batch"]
    own = [span for span in batches if trace in (span.trace_id, *(link.trace_id for link in span.links))]
    return sum(value.value.int_value for span in own for value in span.attributes if value.key == "texts")


def soon(condition: Callable[[], bool], seconds: float) -> bool:
    until = time.monotonic() + seconds
    while not condition() and time.monotonic() < until:
        time.sleep(0.05)
    return condition()


@pytest.mark.parametrize("path", WORK)
def test_a_deadline_ends_the_work_in_the_encoder(served: Any, path: str) -> None:
    with httpx.Client(base_url=served.url, headers={"X-API-Key": served.key}, timeout=60) as http:
        seconds = 0.05
        while True:  # longer and longer, until the encoder is at work when the time is over
            status, trace = ask(http, path, WORK[path], seconds)
            assert status == 504, f"all work was done within {seconds:.2f} s, and none was left off within less"
            if soon(lambda trace=trace: has_ended(served.spans, trace), 1.5) and encoded(served.spans, trace) < TEXTS:
                break
            seconds *= 1.7
        status, following = ask(http, "/v1/embed", {"texts": ["next"]}, 60)
        assert status == 200
        assert soon(lambda: has_ended(served.spans, following), 20)
        assert encoded(served.spans, following) == 1
        assert encoded(served.spans, trace) < TEXTS  # nor is it done later
