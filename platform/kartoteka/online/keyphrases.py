"""Keyphrases for any text as `reindex` would give them: the same functions over the edition's own arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from kartoteka.catalogue import Catalogue
from kartoteka.documents import ReadSettings, Refusal, from_record
from kartoteka.edition import Edition
from kartoteka.encoding.spans import LONGEST, Spans
from kartoteka.keyphrases.dense import VectorArrays
from kartoteka.keyphrases.spans import Trained
from kartoteka.keyphrases.suggest import Suggester
from kartoteka.online.opened import open_edition_checked
from kartoteka.online.query import check_count
from kartoteka.stages.catalogue import FOLDER as CATALOGUE
from kartoteka.stages.embed import EmbedSettings, texts_of
from kartoteka.stages.suggest import Sources
from kartoteka.text.language_codes import known_language
from kartoteka.vectors.choose import check
from kartoteka.vectors.codes import FEW

MOST_PHRASES = 100


class RefusedDocument(ValueError):
    """A record that cannot be a document: the `reason` and `detail` that quarantine would show."""

    def __init__(self, refusal: Refusal) -> None:
        self.reason, self.detail = str(refusal.reason), refusal.detail
        super().__init__(f"document: {refusal.reason}: {refusal.detail}")

    def __reduce__(self) -> tuple[type[RefusedDocument], tuple[Refusal]]:
        return RefusedDocument, (Refusal(self.reason, self.detail),)


class Indexer:
    """What suggests keyphrases with an edition. Threads may share it."""

    def __init__(self, edition: Edition, suggester: Suggester, catalogue: Catalogue) -> None:
        config = edition.manifest["config"]
        self.edition, self.suggester, self.catalogue = edition, suggester, catalogue
        # our own record calls its id by its usual name, whatever the archive's did
        self._read = ReadSettings.parse(config["read"]).model_copy(update={"id_field": None})
        self._separator = EmbedSettings.parse(config["embed"]).separator
        self._languages = list(catalogue.languages)
        #: What the edition's trained ranker was, as its manifest says it; None where it was made without one.
        self.ranker: dict[str, Any] | None = edition.manifest["models"].get("ranker")
        #: Whether `suggest` needs the vectors of that ranker's encoder too.
        self.needs_trained = suggester.trained is not None or suggester.trained_dense is not None
        #: And the scores of spans by that encoder's head.
        self.needs_spans = self.needs_trained and (self.ranker or {}).get("spans") is not None

    @staticmethod
    def open(path: str) -> Indexer:
        """Map the edition at `path`. Raises `ValueError` as `SearchIndex.open` does."""
        edition = open_edition_checked(path, whole=False)
        return Indexer(edition, Sources.of(edition).open(), Catalogue.open(edition.storage.local(CATALOGUE)))

    def warm_up(self) -> None:
        """Suggest for one and for many, so that no request waits until a kernel is compiled, or read from its cache."""
        for documents in (1, FEW + 1):
            vectors, trained = (
                np.ones((documents, 1 if arrays is None else arrays.document_codes.shape[1]))
                for arrays in (self.suggester.vectors, self.suggester.trained)
            )
            values = [self.normalise("warm up", "")] * documents
            spans = Spans(np.zeros((documents, LONGEST)), np.arange(documents + 1)) if self.needs_spans else None
            self.suggest(values, vectors, Trained(trained, spans) if self.needs_trained else None)

    def normalise(
        self, title: str, abstract: str, lang: str | None = None, identity: str | None = None
    ) -> dict[str, Any]:
        """The Document values of a record, its id "" where none is given.

        Without `lang` a text that the edition holds is in the language it has there, any other in that detected.
        Raises `RefusedDocument`, or `ValueError` for a language that there is none of.
        """
        found = from_record({"id": identity or "-", "title": title, "abstract": abstract}, "", self._read)
        if isinstance(found, Refusal):
            raise RefusedDocument(found)
        found["id"] = identity or ""
        if lang is not None:
            found["lang"] = known_language(lang, "lang", self._languages)
        elif (number := self._number_of(found)) >= 0:
            found["lang"] = self._languages[self.catalogue.lang[number]]
        return found

    def texts(self, values: Sequence[dict[str, Any]], separator: str | None = None) -> list[str]:
        """What the encoder is to read of each document; `separator`: that of another encoder than the edition's."""
        return texts_of(_table(values), self._separator if separator is None else separator)

    def suggest(
        self,
        values: Sequence[dict[str, Any]],
        vectors: np.ndarray,
        trained: Trained | None = None,
        k: int | None = None,
        min_score: float = 0.0,
    ) -> list[list[dict[str, Any]]]:
        """Keyphrases (`KEYPHRASE_TYPE`) of documents as `normalise` gives them, best first.

        `vectors` float [n, d] of their `texts`; `trained`: what the encoder of the trained ranker makes of them.
        Without `k`, as many as the edition gives a document; else the k best, of which fewer are always the first. A
        document that the edition holds knows as little of itself as it did there. Raises `ValueError` naming a wrong
        argument.
        """
        suggester = self._suggester(k)
        if not 0 <= min_score <= 1:
            raise ValueError(f"min_score: {min_score} is not from 0 to 1")
        if self.needs_trained and trained is None:
            raise ValueError("trained: this edition was made with a trained ranker, whose vectors are needed")
        if not values:
            return []
        vectors = _rounded(vectors, "vectors", len(values), suggester.vectors)
        if trained is not None:
            trained = self._trained(trained, len(values))
        own = np.array([self._own(value) for value in values], np.int64)
        found = suggester.suggest(_table(values), vectors, own, trained)["keyphrases"].to_pylist()
        return [[phrase for phrase in phrases[:k] if phrase["score"] >= min_score] for phrases in found]

    def _trained(self, trained: Trained, rows: int) -> Trained:
        """`trained` as an edition keeps it. Raises `ValueError` where it is not what this one was made with."""
        vectors = _rounded(trained.vectors, "trained", rows, self.suggester.trained)
        if (trained.spans is not None) != self.needs_spans:
            raise ValueError(f"trained: this edition was made {'with' if self.needs_spans else 'without'} span scores")
        if trained.spans is None:
            return Trained(vectors)
        if len(trained.spans.offsets) != rows + 1:
            raise ValueError(f"trained: spans of {len(trained.spans.offsets) - 1} for {rows} documents")
        scores = check(trained.spans.scores, LONGEST, "trained").astype(np.float16)
        return Trained(vectors, trained.spans._replace(scores=scores))

    def _suggester(self, k: int | None) -> Suggester:
        settings = self.suggester.settings
        if k is None:
            return self.suggester
        check_count("k", k, 1, MOST_PHRASES)
        if k <= settings.limit:
            return self.suggester
        return replace(self.suggester, settings=settings.model_copy(update={"limit": k}))

    def _number_of(self, value: dict[str, Any]) -> int:
        return self.catalogue.number_of_text(value["title"], value["abstract"], value["id"])

    def _own(self, value: dict[str, Any]) -> int:
        number = self._number_of(value)
        return int(self.catalogue.annotated[number]) if number >= 0 else -1


def _rounded(vectors: np.ndarray, name: str, rows: int, arrays: VectorArrays | None) -> np.ndarray:
    """`vectors` as an edition keeps them, float16.

    Raises `ValueError` for another number of them than `rows`, another dimension than `arrays` have, or one not finite.
    """
    vectors = np.asarray(vectors)
    if len(vectors) != rows:
        raise ValueError(f"{name}: {len(vectors)} for {rows} documents")
    dimension = None if arrays is None else arrays.document_codes.shape[1]
    return check(vectors, dimension, name).astype(np.float16)


def _table(values: Sequence[dict[str, Any]]) -> pa.Table:
    names = ("id", "title", "abstract", "lang")
    return pa.table({name: pa.array([value[name] for value in values], pa.string()) for name in names})
