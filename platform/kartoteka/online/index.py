"""Search in an edition: by words, by vectors and by both, with filters, and with the reasons for what is found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kartoteka.card import assemble, carriers_of, cluster_of, label_of
from kartoteka.catalogue import Catalogue
from kartoteka.edition import Edition
from kartoteka.keyphrases.fusion import fuse
from kartoteka.keyphrases.sources import Neighbours
from kartoteka.lexical.index import ShardedIndex
from kartoteka.lexical.settings import LexicalSettings
from kartoteka.online.filters import Filters
from kartoteka.online.opened import open_edition_checked
from kartoteka.online.query import (
    MOST_FOUND,
    MOST_HITS,
    CardFound,
    Found,
    FoundDocument,
    Hit,
    Query,
    UnknownDocuments,
    check_count,
    check_mode,
)
from kartoteka.online.store import DocumentStore
from kartoteka.online.why import Reasons
from kartoteka.online.words import matches, search_stems, snippet, text_stems
from kartoteka.stages.catalogue import FOLDER as CATALOGUE
from kartoteka.stages.search import FOLDER as SEARCH
from kartoteka.stages.vectors import FOLDER as VECTORS
from kartoteka.text.language_codes import known_language
from kartoteka.text.words import content_stems
from kartoteka.vectors.choose import check
from kartoteka.vectors.index import ShardedVectors
from kartoteka.vectors.settings import VectorSettings

#: The lists that are fused are at least so long.
_FUSED = 100
#: A word of unknown language is taken to be in each one that this share of the documents are in.
_LANGUAGE_SHARE = 0.01
_NONE = np.zeros(0, np.int64)
#: No document is of such a year.
_NO_YEAR = 1 << 15


@dataclass(frozen=True, slots=True)
class _Asked:
    """A query as the indexes are asked it: `own` numbers of documents it is made of, which it never finds."""

    own: np.ndarray
    stems: list[str]
    vector: np.ndarray | None
    text: str | None


class SearchIndex:
    """The indexes, the catalogue and the tables of an edition. Threads may share it."""

    def __init__(
        self, edition: Edition, catalogue: Catalogue, words: ShardedIndex, vectors: ShardedVectors, store: DocumentStore
    ) -> None:
        self.edition, self.catalogue = edition, catalogue
        self._words, self._vectors, self._store = words, vectors, store
        self._clusters = edition.summary("clusters")
        least = _LANGUAGE_SHARE * catalogue.held
        counts = catalogue.languages
        ranked = sorted(counts, key=lambda lang: (-counts[lang], lang))
        common = max(1, sum(count >= least for count in counts.values()))
        #: Languages that words may be in, the most frequent first; none where the edition holds no document.
        self.languages: tuple[str, ...] = tuple(ranked[:common])
        self._rare = tuple(ranked[common:])

    @staticmethod
    def open(path: str) -> SearchIndex:
        """Map the edition at `path`.

        Raises `ValueError`: no edition, one of an older version, or a file that is missing or torn (named).
        """
        edition = open_edition_checked(path, whole=False)
        storage, config = edition.storage, edition.manifest["config"]
        catalogue = Catalogue.open(storage.local(CATALOGUE))
        words = ShardedIndex.open(storage.local(SEARCH), LexicalSettings.parse(config["lexical"]))
        vectors = ShardedVectors.open(storage.local(VECTORS), VectorSettings.parse(config["vectors"]))
        counts = {catalogue.documents, words.documents, vectors.documents}
        if len(counts) > 1:
            raise ValueError(f"edition: {path} is damaged: its indexes hold {sorted(counts)} documents")
        return SearchIndex(edition, catalogue, words, vectors, DocumentStore(edition, catalogue))

    def warm_up(self) -> None:
        """Search once in each way, so that no request waits until a kernel is compiled, or read from its cache."""
        if self.catalogue.held:
            vector = self._vectors.vectors_of(np.flatnonzero(self.catalogue.row >= 0)[:1])[0]
            for filters in (Filters(), Filters(year_from=0), Filters(year_from=_NO_YEAR)):  # all, most and none
                self.similar(Query("a", vector=vector), 1, "hybrid", filters)
            self.search("a", 1, 0, Filters())

    @property
    def dimension(self) -> int:
        """Numbers in a vector."""
        return self._vectors.dimension

    @property
    def documents(self) -> int:
        """How many documents the edition holds."""
        return self.catalogue.held

    def similar(self, query: Query, k: int, mode: str, filters: Filters) -> list[Hit]:
        """The k documents most like `query` that `filters` allow, best first; fewer where there are no more.

        `hybrid` is reciprocal rank fusion (Cormack, Clarke & Buettcher 2009) of the dense and the lexical list. Raises
        `ValueError` naming what is wrong with an argument, `UnknownDocuments` for ids that the edition does not hold.
        """
        check_count("k", k, 1, MOST_HITS)
        check_mode(mode)
        asked = self._asked(query, mode)
        allowed, hidden = self._narrowed(filters)
        hidden = np.union1d(hidden, asked.own)
        depth = max(_FUSED, 2 * k) if mode == "hybrid" else k
        lists = {}
        if mode != "lexical":
            near = self._vectors.search(asked.vector[None], depth + len(hidden), allowed=allowed)
            lists["dense"] = _without(near, hidden, depth)
        if mode != "dense":
            near = self._words.search([asked.stems], depth + len(hidden), allowed=allowed)
            lists["lexical"] = _without(near, hidden, depth)
        best = fuse(list(lists.values()), k) if mode == "hybrid" else next(iter(lists.values()))
        scores = {name: _by_number(found) for name, found in lists.items()}
        return self._hits(_by_number(best), scores, self._reasons(asked))

    def search(self, q: str, k: int, offset: int, filters: Filters, lang: str | None = None) -> Found:
        """Documents `offset` to `offset + k` of those that share a word with `q` and pass `filters`, by BM25.

        Words are stemmed in `lang`, or else in each language that 1 % of the documents are in, and in that which they
        look like if any document is in it. Raises `ValueError` naming what is wrong with an argument.
        """
        if not q.strip():
            raise ValueError("q: it is empty")
        check_count("k", k, 1, MOST_HITS)
        check_count("offset", offset, 0, MOST_FOUND - k)
        stems = search_stems(q, *self._languages_of(lang))
        allowed, hidden = self._narrowed(filters)
        total = self._words.count(stems, allowed)
        if len(hidden):
            total -= int((self._words.search([stems], len(hidden), allowed=hidden)[0] >= 0).sum())
        near = self._words.search([stems], offset + k + len(hidden), allowed=allowed)
        best = _without(near, hidden, offset + k)
        found = _by_number(Neighbours(best.numbers[:, offset:], best.scores[:, offset:]))
        weights = self._weights(stems)
        rows = self._store.rows("documents", list(found))
        return Found(total, [_shown(row, found[n], weights) for n, row in zip(found, rows, strict=True)])

    def card(self, identity: str, similar: int = 5) -> CardFound:
        """A document's card with the `similar` documents most like it. Raises as `similar` does."""
        check_count("similar", similar, 0, MOST_HITS)
        number = self._numbers([identity])
        document = self._store.rows("documents", number)[0]
        keyphrases, cluster, label = (
            self._store.rows(table, number)[0] for table in ("keyphrases", "clusters", "labels")
        )
        phrases = None if keyphrases is None else keyphrases["keyphrases"]
        carriers = self.catalogue.numbers_of(sorted(carriers_of([phrases or []])))
        rows = self._store.rows("documents", carriers[carriers >= 0])
        card = assemble(
            document,
            phrases,
            {row["id"]: row["title"] for row in rows},
            None if cluster is None else cluster_of(self._clusters, cluster["cluster"]),
            None if label is None else label_of(label),
        )
        hits = self.similar(Query(ids=(identity,)), similar, "hybrid", Filters()) if similar else []
        return CardFound(card, hits)

    def _languages_of(self, lang: str | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The languages that words may be in, and those they are in only if they look like them."""
        if lang is None:
            return self.languages, self._rare
        return (known_language(lang, "lang", self.catalogue.languages),), ()

    def _narrowed(self, filters: Filters) -> tuple[np.ndarray | None, np.ndarray]:
        """What an index may find, and which few numbers are to be dropped from what it found."""
        hidden = self.catalogue.few_hidden(filters)
        return (self.catalogue.mask(filters), _NONE) if hidden is None else (None, hidden)

    def _numbers(self, ids: Sequence[str]) -> np.ndarray:
        numbers = self.catalogue.numbers_of(ids)
        if (numbers < 0).any():
            raise UnknownDocuments([identity for identity, n in zip(ids, numbers, strict=True) if n < 0])
        return numbers

    def _asked(self, query: Query, mode: str) -> _Asked:
        if query.text is not None:
            vector = None
            if mode != "lexical":
                if query.vector is None:
                    raise ValueError(f"vector: `{mode}` needs that of the text")
                vector = check(query.vector[None], self.dimension, "vector")[0]
            stems = text_stems(query.text, *self._languages_of(query.lang))
            return _Asked(np.zeros(0, np.int64), stems, vector, query.text)
        own = self._numbers(list(dict.fromkeys(query.ids)))
        vectors = self._vectors.vectors_of(own)
        vector = vectors[0] if len(own) == 1 else vectors.mean(axis=0)
        norm = np.linalg.norm(vector)
        rows = self._store.rows("documents", own)
        stems = [stem for row in rows for stem in content_stems(f"{row['title']}\n{row['abstract']}", row["lang"])]
        return _Asked(own, stems, vector / norm if len(own) > 1 and norm > 0 else vector, None)

    def _weights(self, stems: Sequence[str]) -> dict[str, float]:
        """The idf of each stem that the edition has anywhere."""
        distinct = list(dict.fromkeys(stems))
        return {stem: idf for stem, idf in zip(distinct, self._words.idf(distinct).tolist(), strict=True) if idf > 0}

    def _reasons(self, asked: _Asked) -> Reasons:
        lists = self._store.rows("keyphrases", asked.own)
        phrases = [k["phrase"] for row in lists if row is not None for k in row["keyphrases"]]
        return Reasons(asked.text, phrases, self._weights(asked.stems))

    def _hits(self, best: dict[int, float], scores: dict[str, dict[int, float]], reasons: Reasons) -> list[Hit]:
        documents, keyphrases = (self._store.rows(table, list(best)) for table in ("documents", "keyphrases"))
        return [
            Hit(
                id=row["id"],
                score=score,
                title=row["title"],
                lang=row["lang"],
                year=row["year"],
                dense=scores.get("dense", {}).get(number),
                lexical=scores.get("lexical", {}).get(number),
                keyphrases=reasons.keyphrases(row["lang"], phrases["keyphrases"]) if phrases else (),
                terms=reasons.terms(row),
            )
            for (number, score), row, phrases in zip(best.items(), documents, keyphrases, strict=True)
        ]


def _without(found: tuple[np.ndarray, np.ndarray], hidden: np.ndarray, most: int) -> Neighbours:
    """The first `most` of one query's list that are not `hidden`."""
    kept = ~np.isin(found[0][0], hidden) & (found[0][0] >= 0)
    return Neighbours(found[0][:, kept][:, :most], found[1][:, kept][:, :most])


def _by_number(found: Neighbours) -> dict[int, float]:
    """The scores of one query's list by number, best first."""
    pairs = zip(found.numbers[0].tolist(), found.scores[0].tolist(), strict=True)
    return {number: score for number, score in pairs if number >= 0}


def _shown(row: dict[str, Any], score: float, weights: dict[str, float]) -> FoundDocument:
    title, abstract, lang = row["title"], row["abstract"], row["lang"]
    text, marks = snippet(abstract, matches(abstract, lang, weights), weights)
    title_marks = tuple((m.start, m.stop) for m in matches(title, lang, weights))
    return FoundDocument(row["id"], score, title, text, title_marks, marks, lang, row["year"])
