"""The service as its users have it: deployed on the session's cluster over the small edition, asked over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from serve_collector import collecting
from serve_configuration import configuration, free_port


@dataclass(frozen=True)
class Served:
    """A deployed app: where it is, the key that opens it, its edition with the encoder, and the spans it sends."""

    url: str
    key: str
    edition: Path
    encoder: Path
    spans: list[Span]


@pytest.fixture(scope="session")
def served(
    ray_session: str, small_edition: Path, tiny_encoder: Path, tiny_classifier: str, tmp_path_factory: Any
) -> Iterator[Served]:
    """The app over the small edition, behind keys; ends with the session."""
    from ray import serve as ray_serve

    from serve.access import new_key
    from serve.rollout import deploy

    secret, lines = new_key("tests")
    keys = tmp_path_factory.mktemp("keys") / "keys.toml"
    keys.write_text(lines.replace("per_second = 50.0, burst = 100", "per_second = 10000.0, burst = 10000"))
    port = free_port()
    config = configuration(
        small_edition, port, keys=str(keys), classifier=tiny_classifier, max_texts=300, max_text_characters=20_000
    )
    with collecting() as (endpoint, spans):
        variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_BSP_SCHEDULE_DELAY": "200"}
        config["applications"][0]["runtime_env"]["env_vars"] |= variables
        deploy(config, timeout_s=120)
        yield Served(f"http://127.0.0.1:{port}", secret, small_edition, tiny_encoder, spans)
        ray_serve.shutdown()
