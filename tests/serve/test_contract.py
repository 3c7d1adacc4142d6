"""The OpenAPI document is a promise: whatever is sent that it allows, or forbids, is answered as it says."""

from __future__ import annotations

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, assume, given, settings
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi import checks

from serve.openapi import document

#: Without `positive_data_acceptance`: what a schema cannot say (either `text` or `ids`) is refused too.
CHECKS = [
    schemathesis.checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    checks.negative_data_rejection,
]
# The node's agent, which `/metrics` asks, may still be starting.
SCHEMA = schemathesis.openapi.from_dict(document()).exclude(path="/metrics")
OPERATIONS = {found.ok().label: found.ok() for found in SCHEMA.get_all_operations()}
MODES = [
    (label, mode)
    for label, operation in OPERATIONS.items()
    for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
    if mode.is_positive or operation.body or operation.query
]


@pytest.mark.parametrize(("label", "mode"), MODES, ids=lambda value: getattr(value, "value", value))
def test_the_contract_is_kept(label: str, mode: GenerationMode, served: Any) -> None:
    @given(case=OPERATIONS[label].as_strategy(generation_mode=mode))
    @settings(
        max_examples=25,
        deadline=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def kept(case: schemathesis.Case) -> None:
        # Headers that HTTP forbids, and request lines over 64 KiB, are refused by the HTTP server, before us.
        case.headers.clear()
        assume(len(str(case.query)) < 8000)
        case.call_and_validate(base_url=served.url, headers={"X-API-Key": served.key}, checks=CHECKS)

    kept()
