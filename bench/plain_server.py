"""The server that people write first: FastAPI and `SentenceTransformer.encode`, nothing between.

    python -m bench.plain_server MODEL --port 8100 [--workers N]

One worker with torch's own threads, as FastAPI's tutorial has it; with `--workers`, several of one thread each.
"""

from __future__ import annotations

import argparse
import os
from typing import Any

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel


class Texts(BaseModel):
    texts: list[str]


def build() -> FastAPI:
    from sentence_transformers import SentenceTransformer

    app = FastAPI()
    model = SentenceTransformer(os.environ["PLAIN_MODEL"], device="cpu")

    @app.post("/v1/embed")
    def embed(body: Texts) -> dict[str, Any]:
        return {"vectors": model.encode(body.texts, normalize_embeddings=True).tolist()}

    @app.get("/readyz")
    def readyz() -> dict[str, str]:
        return {"status": "ready"}

    return app


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--port", type=int, default=8100)
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    os.environ["PLAIN_MODEL"] = options.model
    if options.workers > 1:
        os.environ["OMP_NUM_THREADS"] = "1"
    uvicorn.run(
        "bench.plain_server:build", factory=True, port=options.port, workers=options.workers, log_level="warning"
    )


if __name__ == "__main__":
    main()
