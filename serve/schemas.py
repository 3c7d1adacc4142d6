"""What the endpoints take: every request a model with an example, so that `/docs` is the reference."""

from __future__ import annotations

import datetime as dt
import re
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, model_validator

from kartoteka.online.query import MOST_FOUND, MOST_HITS, MOST_IDS

Text = Annotated[str, StringConstraints(min_length=1)]
Id = Annotated[str, StringConstraints(min_length=1, max_length=1000)]
Language = Annotated[str, StringConstraints(pattern="^[a-z]{2,3}$")]
Year = Annotated[int, Field(ge=-32_767, le=32_767)]
Score = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Few = Annotated[int, Field(ge=1, le=MOST_HITS)]


def _has_words(text: str) -> str:
    if not re.search(r"\w", text):
        raise ValueError("holds no word")
    return text


def _is_name(text: str) -> str:
    if not re.fullmatch(r"\w[\w.-]{0,199}", text):
        raise ValueError("is no name of an edition")
    return text


# Not patterns of the schema: a client's JSON Schema reads `\w` as ECMA-262 has it, and refuses every Russian query.
Words = Annotated[str, StringConstraints(min_length=1, max_length=2000), AfterValidator(_has_words)]
EditionName = Annotated[str, AfterValidator(_is_name)]


class Request(BaseModel):
    """A body: no unknown field, no silent conversion of a type."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    @model_validator(mode="before")
    @classmethod
    def _encodable(cls, values: Any) -> Any:
        """Refuse half a surrogate pair, which JSON can say and UTF-8 cannot."""
        for text in _strings(values):
            if not text.isascii():
                try:
                    text.encode()
                except UnicodeEncodeError:
                    raise ValueError("half a surrogate pair is no character") from None
        return values


def _strings(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for pair in value.items() for part in pair for text in _strings(part)]
    return [text for part in value for text in _strings(part)] if isinstance(value, list) else []


def _example(value: Any) -> ConfigDict:
    return ConfigDict(json_schema_extra={"examples": [value]})


_DOCUMENT = {
    "title": "Heat transfer in fuel assemblies",
    "abstract": "We measure the heat transfer of water-cooled fuel assemblies of a power reactor at low flow.",
    "lang": "en",
}


class DocumentIn(Request):
    """A record to be given keyphrases; its `id`, where the edition may hold it."""

    model_config = _example(_DOCUMENT)

    title: str = ""
    abstract: str = ""
    lang: Language | None = None
    id: Id | None = None


_Documents = Annotated[list[DocumentIn], Field(min_length=1)]


def _in_a_list(value: Any) -> Any:
    """One document is a list of one."""
    return [value] if isinstance(value, dict) else value


class KeyphrasesRequest(Request):
    """One document, or many. `k`: phrases for each (none: as many as in the edition)."""

    model_config = _example({"documents": [_DOCUMENT], "k": 10})

    documents: Annotated[_Documents, BeforeValidator(_in_a_list, json_schema_input_type=DocumentIn | _Documents)]
    k: int | None = Field(default=None, ge=1, le=100)
    min_score: Score = 0.0


class Years(BaseModel):
    """Years of publication, both included."""

    year_from: Year | None = None
    year_to: Year | None = None

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.year_from is not None and self.year_to is not None and self.year_from > self.year_to:
            raise ValueError("`year_from` is after `year_to`")
        return self


class FiltersIn(Years, Request):
    """Which documents may be found: `new_since` names an edition that must not hold them."""

    model_config = _example({"year_from": 2015, "langs": ["en", "ru"]})

    langs: list[Language] = Field(default=[], max_length=200)
    added_since: Annotated[dt.date, Field(strict=False)] | None = None
    new_since: EditionName | None = None
    exclude: list[Id] = Field(default=[], max_length=10_000)


class SimilarRequest(Request):
    """Documents like a text, or like one or several documents of the edition."""

    model_config = _example({"text": "heat transfer in fuel assemblies", "k": 5, "filters": {"year_from": 2015}})

    text: Text | None = None
    ids: list[Id] | None = Field(default=None, min_length=1, max_length=MOST_IDS)
    lang: Language | None = None
    k: Few = 10
    mode: Literal["dense", "lexical", "hybrid"] = "hybrid"
    filters: FiltersIn = FiltersIn()

    @model_validator(mode="after")
    def _either(self) -> Self:
        if (self.text is None) == (self.ids is None):
            raise ValueError("give either `text` or `ids`")
        return self


class TextsRequest(Request):
    """Texts to be classified or embedded."""

    model_config = _example({"texts": ["Всё работает отлично!", "Heat transfer in fuel assemblies"]})

    texts: list[Text] = Field(min_length=1)


class EmbeddingsRequest(BaseModel):
    """OpenAI's shape: a text, or a list of them. Fields of that interface which change nothing here are let through."""

    model_config = ConfigDict(
        extra="allow", json_schema_extra={"examples": [{"input": ["heat transfer"], "model": "default"}]}
    )

    input: Text | Annotated[list[Text], Field(min_length=1)]
    model: str = "default"
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = Field(default=None, ge=1)


def _listed(value: Any) -> Any:
    """`langs=en,ru` is `langs=en&langs=ru`."""
    return [part for item in value for part in item.split(",")] if isinstance(value, list) else value


class SearchQuery(Years):
    """The query string of a search."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    q: Words
    k: Few = 10
    offset: int = Field(default=0, ge=0, le=MOST_FOUND - 1)
    lang: Language | None = None
    langs: Annotated[list[Language], BeforeValidator(_listed)] = Field(
        default=[],
        max_length=200,
        json_schema_extra={"items": {"type": "string", "pattern": "^[a-z]{2,3}(,[a-z]{2,3})*$"}},
    )
    added_since: dt.date | None = None
    new_since: EditionName | None = None
    exclude: list[Id] = Field(default=[], max_length=1000)

    @model_validator(mode="after")
    def _within(self) -> Self:
        if self.offset + self.k > MOST_FOUND:
            raise ValueError(f"`offset` + `k` is more than {MOST_FOUND}")
        return self
