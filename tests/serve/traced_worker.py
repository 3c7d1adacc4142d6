"""A process that answers requests with tracing on, as a gateway does, and batches them as the encoder does.

    python traced_worker.py CLIENTS_TRACEPARENT

The exporter's endpoint comes from the environment. Prints the headers of the answers, and the carriers of the work.
"""

from __future__ import annotations

import json
import sys

from fastapi import FastAPI
from fastapi.testclient import TestClient

from kartoteka.telemetry import carrier, span
from serve.observe import NO_TELEMETRY, Observed
from serve.problems import install

app = FastAPI(telemetry=NO_TELEMETRY)
install(app)
carriers: list[dict[str, str]] = []


@app.post("/v1/work/{name}")
async def work(name: str) -> str:
    with span("ask encoder", {"texts": 1}):
        carriers.append(carrier())
    if name == "fail":
        raise RuntimeError("torn")
    return name


client = TestClient(Observed(app))
answers = [
    client.post("/v1/work/a", headers={"traceparent": sys.argv[1]}),
    client.post("/v1/work/fail"),
]
with span("encode", {"tokens": 12}, carriers=carriers):
    pass
json.dump({"headers": [dict(answer.headers) for answer in answers], "carriers": carriers}, sys.stdout)
