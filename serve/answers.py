"""What the endpoints answer, as `/docs` shows it and as the tests hold the answers to it."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class Answer(BaseModel):
    """An answer; it may get further fields, so that a client must not refuse them."""


def _example(value: Any) -> ConfigDict:
    return ConfigDict(json_schema_extra={"examples": [value]})


_PHRASE = {
    "phrase": "heat transfer",
    "score": 0.71,
    "category": "present",
    "origins": ["extracted", "neighbour"],
    "neighbours": ["doc-17"],
    "concept": None,
}


class KeyphraseOut(Answer):
    """A keyphrase with its reasons. `score`: a probability where the edition is calibrated."""

    model_config = _example(_PHRASE)

    phrase: str
    score: float
    category: Literal["present", "reordered", "mixed", "unseen"]
    origins: list[str]
    neighbours: list[str]
    concept: str | None


class KeyphrasesOut(Answer):
    """The keyphrases of one document, most probable first."""

    keyphrases: list[KeyphraseOut]


class KeyphrasesAnswer(Answer):
    """One result for each document, in their order."""

    model_config = _example({"edition": "2026", "results": [{"keyphrases": [_PHRASE]}]})

    edition: str
    results: list[KeyphrasesOut]


class Why(Answer):
    """What a hit and the query have in common."""

    keyphrases: list[str]
    terms: list[str]


class HitOut(Answer):
    """A similar document; `dense`: the cosine, `lexical`: the BM25 score, where that list holds it."""

    id: str
    score: float
    title: str
    lang: str
    year: int | None
    dense: float | None
    lexical: float | None
    why: Why


class SimilarAnswer(Answer):
    """The most similar documents first."""

    edition: str
    results: list[HitOut]


class Probabilities(Answer):
    """Calibrated probabilities; they sum to 1."""

    negative: float
    neutral: float
    positive: float


class SentimentOut(Answer):
    """The most probable class of a text."""

    label: Literal["negative", "neutral", "positive"]
    probabilities: Probabilities


class SentimentAnswer(Answer):
    """One result for each text, in their order."""

    model: str
    results: list[SentimentOut]


class FoundOut(Answer):
    """A ranked document. A mark is [start, stop) in characters of the title, or of the snippet."""

    id: str
    score: float
    title: str
    snippet: str
    title_marks: list[tuple[int, int]]
    snippet_marks: list[tuple[int, int]]
    lang: str
    year: int | None


class SearchAnswer(Answer):
    """A page of results; `total`: how many documents share a word with the query."""

    edition: str
    total: int
    results: list[FoundOut]


class CardOut(Answer):
    """A document as the edition knows it."""

    id: str
    title: str
    abstract: str
    lang: str
    year: int | None
    own: list[str]
    source: str
    keyphrases: list[dict[str, Any]] | None
    cluster: dict[str, Any] | None
    label: dict[str, Any] | None
    similar: list[HitOut]


class CardAnswer(Answer):
    """The card of one document."""

    edition: str
    document: CardOut


class EmbedAnswer(Answer):
    """Unit vectors, one for each text."""

    model_config = _example({"model": "all-MiniLM-L6-v2", "dimension": 3, "vectors": [[0.6, 0.0, 0.8]]})

    model: str
    dimension: int
    vectors: list[list[float]]


class Embedding(Answer):
    """One vector; a string in base64 (little-endian float32) where that was asked for."""

    object: Literal["embedding"]
    index: int
    embedding: list[float] | str


class Usage(Answer):
    """Tokens that were read."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingsAnswer(Answer):
    """OpenAI's shape."""

    object: Literal["list"]
    data: list[Embedding]
    model: str
    usage: Usage


class Health(Answer):
    """Whether the process answers."""

    status: Literal["ok"]


class Ready(Answer):
    """Whether every deployment can work for the edition."""

    status: Literal["ready", "not ready"]
    waiting_for: list[str] = Field(default=[])


class Version(Answer):
    """Which edition is served, by which models; `refused`: an edition that could not be taken up, and why."""

    kartoteka: str
    edition: str
    digest: str
    created: str
    documents: int
    models: dict[str, Any]
    refused: str | None
