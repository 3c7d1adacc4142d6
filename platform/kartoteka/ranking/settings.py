"""What can be set of the trained ranker."""

from __future__ import annotations

from typing import Self

from pydantic import Field, field_validator, model_validator

from kartoteka.settings import Settings


class StudentSettings(Settings):
    """What is kept of the model that training starts from: section `[student]`.

    `layers`: numbers of the layers, ascending; none: all. `vocabulary`: at most so many word pieces, those that the
    archive uses most, besides single characters and special tokens; none: all. `positions`: longest text in tokens.
    `dropout`: none by default, so that the loss does not depend on how a batch is divided among workers.
    """

    layers: list[int] | None = Field(None, min_length=1)
    vocabulary: int | None = Field(None, ge=1)
    positions: int | None = Field(None, ge=8)
    dropout: float = Field(0.0, ge=0, lt=1)


class RankerSettings(Settings):
    """How pairs are found and what is learned from them: section `[ranker]`.

    Pairs: `neighbours` nearest annotated documents by BM25 are asked for phrases; the first `pool` of those that the
    document does not carry, by summed score, are kept, and `negatives` of them are drawn anew at each step. Texts are
    title, `separator`, abstract, cut to `max_document_tokens` and to what the model reads; phrases are cut to
    `max_phrase_tokens`.

    Loss: `ranking_weight` times that of the vectors (`temperature`, `masked`: the paper's, else plain multiple
    negatives ranking), `span_weight` times that of the scores of spans (`ranking.spans`), and at first the distance to
    the edition's own vectors with `distil_weight`, which falls to 0 in `distil_steps` steps. Without `ranking_weight`
    no candidates are encoded; without `span_weight` nothing is made for spans, and the model has no head for them.

    Memory of a worker: micro-batches of `micro_tokens`, activations of `kept_tokens` (see `encode_texts`).

    `validation_documents`, at most a tenth of all, decide which weights are best (`validation.validate`). At most
    `fusion_share` of all are left alone for the fusion, which must be fitted on documents that the encoder has not
    seen. Of the rest about `documents` are learned from, drawn by the hash of their ids (none: all). With a teacher,
    `teacher_weight` is its share of what the scores of spans are to be.
    """

    neighbours: int = Field(50, ge=1, le=1000)
    pool: int = Field(200, ge=1)
    negatives: int = Field(8, ge=0)
    separator: str = ". "
    max_document_tokens: int = Field(256, ge=8)
    max_phrase_tokens: int = Field(16, ge=4)
    temperature: float = Field(0.05, gt=0)
    masked: bool = True
    ranking_weight: float = Field(1.0, ge=0)
    span_weight: float = Field(1.0, ge=0)
    distil_weight: float = Field(0.0, ge=0)
    distil_steps: int = Field(200, ge=1)
    micro_tokens: int = Field(2048, ge=16)
    kept_tokens: int = Field(16_384, ge=0)
    validation_documents: int = Field(500, ge=1)
    fusion_share: float = Field(0.25, ge=0, lt=1)
    documents: int | None = Field(None, ge=1)
    teacher_weight: float = Field(0.5, gt=0, le=1)
    seed: int = Field(0, ge=0)
    student: StudentSettings = StudentSettings()

    @field_validator("separator")
    @classmethod
    def _keeps_words_apart(cls, separator: str) -> str:
        if not separator or separator[0].isalnum() or separator[-1].isalnum():
            raise ValueError("must keep words apart: not empty, no letter or digit at either end")
        return separator

    @model_validator(mode="after")
    def _something_is_learned(self) -> Self:
        if not self.ranking_weight and not self.span_weight:
            raise ValueError("`ranking_weight` and `span_weight` are both 0: there is nothing to learn")
        return self
