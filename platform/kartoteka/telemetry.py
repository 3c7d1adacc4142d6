"""What a run tells others: logs of workers kept short, and figures as OpenTelemetry metrics."""

from __future__ import annotations

import logging
import os
import warnings
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opentelemetry.metrics import Meter
    from opentelemetry.metrics import _Gauge as Gauge

#: Where figures are sent, as OpenTelemetry's own variables say it; without any of them none is sent.
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT")


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
def _meter() -> Meter:
    from opentelemetry import metrics

    if any(os.environ.get(name) for name in _ENDPOINTS):
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader

        metrics.set_meter_provider(MeterProvider([PeriodicExportingMetricReader(OTLPMetricExporter())]))
    return metrics.get_meter("kartoteka")
