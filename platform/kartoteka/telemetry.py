"""What a run, or a service, tells others: short logs of workers, and OpenTelemetry's metrics and traces.

Both are sent by OTLP to where OpenTelemetry's standard variables say; without any of them nothing is sent.
"""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opentelemetry.metrics import Histogram, Meter
    from opentelemetry.metrics import _Gauge as Gauge
    from opentelemetry.trace import Span, SpanContext, SpanKind, Tracer
    from opentelemetry.util.types import AttributeValue


def quiet_worker() -> None:
    """Let only warnings of our own and errors of others reach a job's log."""
    warnings.filterwarnings("ignore")
    for name in ("transformers", "sentence_transformers", "numba", "faiss", "ray.data", "pymorphy3"):
        logging.getLogger(name).setLevel(logging.ERROR)


@cache
def gauge(name: str) -> Gauge:
    """A gauge of this process's meter; its values go to the OTLP endpoint of the environment, if it names one."""
    return _meter().create_gauge(name)


@cache
def histogram(name: str) -> Histogram:
    """A histogram of this process's meter; see `gauge`."""
    return _meter().create_histogram(name)


@cache
def _meter() -> Meter:
    from opentelemetry import metrics

    if _is_sent("METRICS"):
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader

        metrics.set_meter_provider(MeterProvider([PeriodicExportingMetricReader(OTLPMetricExporter())]))
    return metrics.get_meter("kartoteka")


def span(
    name: str,
    attributes: Mapping[str, AttributeValue] | None = None,
    *,
    carriers: Sequence[Mapping[str, str]] = (),
    kind: SpanKind | None = None,
) -> AbstractContextManager[Span]:
    """A span of the current trace, as a context manager.

    `carriers` are what `carrier` gave where the work came from, in this process or another: the span is the child of
    the first that is sampled, and linked to the others, as a batch is that serves many requests.
    """
    from opentelemetry import trace

    origins = [] if not carriers else sorted(map(_origin, carriers), key=lambda c: not c.trace_flags.sampled)
    parent = trace.set_span_in_context(trace.NonRecordingSpan(origins[0])) if origins else None
    return _tracer().start_as_current_span(
        name,
        parent,
        kind or trace.SpanKind.INTERNAL,
        attributes,
        links=[trace.Link(origin) for origin in origins[1:] if origin.is_valid],
    )


def carrier() -> dict[str, str]:
    """The current span in W3C trace context's headers, to go with work that is sent elsewhere; {} outside a trace."""
    from opentelemetry import propagate

    headers: dict[str, str] = {}
    propagate.inject(headers)
    return headers


def _origin(headers: Mapping[str, str]) -> SpanContext:
    from opentelemetry import propagate, trace
    from opentelemetry.context import Context

    return trace.get_current_span(propagate.extract(headers, Context())).get_span_context()


@cache
def _tracer() -> Tracer:
    from opentelemetry import trace

    if _is_sent("TRACES"):
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        provider = TracerProvider()
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        trace.set_tracer_provider(provider)
    return trace.get_tracer("kartoteka")


def _is_sent(signal: str) -> bool:
    names = ("OTEL_EXPORTER_OTLP_ENDPOINT", f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT")
    return any(os.environ.get(name) for name in names)
