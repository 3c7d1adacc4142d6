"""What can be set of masked-language modelling."""

from __future__ import annotations

from pydantic import Field

from kartoteka.sentiment.settings import SmallSettings
from kartoteka.settings import Settings


class MlmSettings(Settings):
    """The `[mlm]` section: texts, masks, memory."""

    max_tokens: int = Field(default=96, ge=8)
    """Tokens of a text that are read, at most."""

    masked: float = Field(default=0.2, gt=0, lt=1)
    """Share of the tokens that are to be told from the others (marks of beginning and end never are)."""

    validation_share: float = Field(default=0.02, gt=0, lt=1)
    """Of the texts, held out by the hash of their first words."""

    micro_tokens: int = Field(default=4096, ge=16)
    """Tokens of a micro-batch, padding included (see `encode_texts`)."""

    kept_tokens: int = Field(default=32_768, ge=0)
    """Tokens whose activations are kept for the backward pass; those of the others are computed again."""

    small: SmallSettings = SmallSettings()
    """Section `[mlm.small]`: the encoder that is made where none is given."""

    seed: int = Field(default=0, ge=0)
