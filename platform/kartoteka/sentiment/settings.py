"""What can be set of the sentiment classifier."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Self

from pydantic import Field, model_validator

from kartoteka.settings import Settings

if TYPE_CHECKING:
    import numpy as np

    from kartoteka.clustering.purity import Purity


class SmallSettings(Settings):
    """The encoder that is made from the texts at hand where none is given: section `[sentiment.small]`."""

    vocabulary: int = Field(default=12_000, ge=300)
    """Byte-level BPE tokens of lower-case text; few texts yield fewer."""

    width: int = Field(default=256, ge=8)
    layers: int = Field(default=2, ge=1, le=24)
    heads: int = Field(default=4, ge=1)
    window: int = Field(default=4, ge=1)
    """Tokens to either side that count as the company of a token."""

    dropout: float = Field(default=0.1, ge=0, lt=1)

    @model_validator(mode="after")
    def _heads_divide_the_width(self) -> Self:
        if self.width % (2 * self.heads):
            raise ValueError(f"width: {self.width} is not a multiple of 2 x {self.heads} heads")
        return self

    def described(self) -> str:
        """What a model card says of it."""
        return (
            f"none: a ModernBERT of {self.layers} layers of {self.width}, its vocabulary and vectors learned from the "
            "texts"
        )


class ReliabilitySettings(Settings):
    """When a classifier's label is believed."""

    purity: float = Field(default=0.9, ge=0, le=1)
    """Least share of a cluster's texts that are given its dominant class."""

    probability: float = Field(default=0.8, ge=0, le=1)
    """Least probability that the model gives a text's label."""

    soft: bool = False
    """Purity as the mean probability of the dominant class."""

    def thresholds(self) -> dict[str, float | bool]:
        """As `clustering.purity.reliable` takes them."""
        return {"least_purity": self.purity, "least_probability": self.probability, "soft": self.soft}

    def of(self, purity: Purity) -> np.ndarray:
        """The purity that counts, float64 [k]."""
        return purity.soft if self.soft else purity.hard


class NgramSettings(Settings):
    """The classifier by hashed n-grams: section `[ngrams]`. Labels, validation share and seed are of `[sentiment]`."""

    bits: int = Field(default=17, ge=8, le=22)
    """2 to this power are the buckets of tokens and their pairs, and again those of characters; each takes 8 bytes."""

    shortest: int = Field(default=1, ge=1)
    longest: int = Field(default=5, ge=1, le=16)
    """Characters of a run, from and to."""

    least_texts: int = Field(default=2, ge=1)
    """Training texts that a gram must occur in to count."""

    strengths: list[float] = Field(default=[0.3, 1.0, 3.0, 10.0], min_length=1)
    """Inverse strengths of the regularisation (scikit-learn's C); the best on the validation texts is kept."""

    balanced: bool = True
    """Every class weighs the same, the rarer ones as if their texts were more."""

    test_share: float = Field(default=0.2, gt=0, lt=1)
    """Of the labelled texts, held out by the hash of their first words and only measured on."""

    @model_validator(mode="after")
    def _runs_and_strengths_make_sense(self) -> Self:
        if self.longest < self.shortest:
            raise ValueError(f"longest: {self.longest} is less than shortest, {self.shortest}")
        if min(self.strengths) <= 0:
            raise ValueError(f"strengths: {min(self.strengths):g} is not above 0")
        return self


class SentimentSettings(Settings):
    """The `[sentiment]` section: texts, loss, memory."""

    labels: dict[str, Literal["negative", "neutral", "positive"]] = Field(default_factory=dict)
    """Section `[sentiment.labels]`: labels of the data that mean a class. What is neither is refused."""

    max_tokens: int = Field(default=96, ge=8)
    """Tokens of a text that are read, at most."""

    validation_share: float = Field(default=0.1, gt=0, lt=1)
    """Of the labelled texts, held out by the hash of their first words; for data that has no validation split."""

    balanced: bool = True
    """Texts of every class equally often, the rarer ones again and again."""

    class_weight: float = Field(default=1.0, gt=0)
    """Of the cross-entropy."""

    metric_weight: float = Field(default=0.2, ge=0)
    """Of the supervised contrastive loss, in the final step; 0: cross-entropy alone."""

    temperature: float = Field(default=0.1, gt=0)
    """Of the supervised contrastive loss."""

    pseudolabel_share: float = Field(default=1.0, gt=0)
    """Pseudo-labelled texts of a class for each gold one, at most, chosen by hash."""

    soft: bool = False
    """Learn the probabilities that a pseudo-labelled text was given, and not its label alone."""

    dropout: float | None = Field(default=None, ge=0, lt=1)
    """Of a given encoder's layers and head, attention apart; none: what the encoder's configuration says."""

    freeze_embeddings: bool = False
    """Leave the vectors of tokens as they are, so that few texts are not learned by heart."""

    micro_tokens: int = Field(default=4096, ge=16)
    """Tokens of a micro-batch, padding included (see `encode_texts`)."""

    kept_tokens: int = Field(default=32_768, ge=0)
    """Tokens whose activations are kept for the backward pass; those of the others are computed again."""

    small: SmallSettings = SmallSettings()
    seed: int = Field(default=0, ge=0)
