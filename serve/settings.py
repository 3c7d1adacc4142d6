"""What a person sets of the service: the `args` of the application in Serve's YAML."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from kartoteka.settings import Settings


class AppSettings(Settings):
    """`applications[0].args`: what is served, to whom, and within what limits."""

    edition: str | None = None
    """The edition, or the pointer (`current.json`) that `kartoteka promote` moves. The app needs one."""

    encoder: str | None = None
    """Where the edition's embedding model lies on these machines, where that is not where it lay at `reindex`."""

    revision: str | None = None
    """Revision of `encoder` on a model hub."""

    ranker: str | None = None
    """Directory of the trained ranker the edition was made with."""

    classifier: str = "default"
    """A sentiment classifier: the one that comes with Kartoteka, a directory, or a model on a hub."""

    keys: str | None = None
    """Key file (see `serve.access`); None: only this machine may ask."""

    max_body_bytes: int = Field(default=8 << 20, ge=1024)
    """Bytes of a request's body."""

    max_text_characters: int = Field(default=100_000, ge=1)
    """Characters of one text."""

    max_texts: int = Field(default=256, ge=1)
    """Texts, or documents, of one request."""

    max_in_progress: int = Field(default=256, ge=1)
    """Requests that one replica of the gateway works on; it refuses what comes above."""

    timeout_s: float = Field(default=30.0, gt=0, allow_inf_nan=False)
    """Seconds a request may take that does not say so itself."""

    max_timeout_s: float = Field(default=120.0, gt=0, allow_inf_nan=False)
    """Seconds a request may ask for."""

    batch_tokens: int = Field(default=4096, ge=1)
    """Tokens of one batch of the encoder."""

    encoder_calls: int = Field(default=4, ge=1)
    """Calls of the encoder that one replica has under way; what it is asked meanwhile goes out together."""

    batch_wait_s: float = Field(default=0.002, ge=0, le=10)
    """Seconds that the first text of a batch waits for others."""

    cors_origins: list[str] = Field(default=[])
    """Origins whose pages may ask; `*` is all. None by default."""

    @model_validator(mode="after")
    def _timeouts_are_ordered(self) -> Self:
        if self.timeout_s > self.max_timeout_s:
            raise ValueError(f"`timeout_s`: {self.timeout_s} is more than `max_timeout_s`, {self.max_timeout_s}")
        return self
