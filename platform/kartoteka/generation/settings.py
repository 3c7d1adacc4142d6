"""What can be set of the generator."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from kartoteka.settings import Settings


class DecodingSettings(Settings):
    """How keyphrases are searched for: section `[generator.decoding]`, which the exported model carries along."""

    beam: int = Field(default=4, ge=1, le=64)
    """Width of the beam search; 1 is greedy."""

    sequences: int = Field(default=1, ge=1, le=64)
    """Sequences of the beam whose phrases are joined, best sequence first: more than one finds more absent phrases
    ("over-generation"), at most `beam`."""

    length_penalty: float = Field(default=1.0, ge=0, le=4)
    """Sequences compete by the sum of their log-probabilities over their length to this power."""

    batch: int = Field(default=32, ge=1)
    """Documents that are decoded together."""

    @model_validator(mode="after")
    def _sequences_of_the_beam(self) -> Self:
        if self.sequences > self.beam:
            raise ValueError(f"sequences: {self.sequences} cannot come from a beam of {self.beam}")
        return self


class GeneratorSettings(Settings):
    """The `[generator]` section: the model, and the shape of what it reads and writes."""

    base: str | None = None
    """The BART to start from, a directory or a hub id; none: a small one, from scratch, of the sizes below."""

    revision: str | None = None
    """Revision of a base from the hub."""

    layers: int = Field(default=3, ge=1, le=24)
    """Of the encoder, and as many of the decoder."""

    width: int = Field(default=256, ge=8)
    heads: int = Field(default=4, ge=1)
    dropout: float = Field(default=0.1, ge=0, lt=1)

    vocabulary: int = Field(default=16_000, ge=300)
    """Byte-level BPE tokens, learned from the training documents; a small corpus yields fewer."""

    vocabulary_documents: int = Field(default=100_000, ge=1)
    """Training documents that the vocabulary is learned from, about."""

    max_source: int = Field(default=256, ge=8)
    """Tokens of title and abstract; the rest of the abstract is not read."""

    max_target: int = Field(default=64, ge=8)
    """Tokens of the keyphrases; phrases that do not fit are left out whole, the last ones first."""

    label_smoothing: float = Field(default=0.1, ge=0, lt=1)
    validation_documents: int = Field(default=200, ge=1)
    """Annotated documents held out, chosen by the hash of their ids; at most a tenth of them."""

    decoding: DecodingSettings = DecodingSettings()
    seed: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _heads_divide_the_width(self) -> Self:
        if self.width % self.heads:
            raise ValueError(f"width: {self.width} is not a multiple of {self.heads} heads")
        return self
