"""Keyphrases for the documents of one part: neighbours, candidates, features, ranking, merging.

What a document gets depends on the document and the archive alone, never on the others of its part.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from kartoteka.documents import KEYPHRASES_SCHEMA
from kartoteka.keyphrases.archive import Archive
from kartoteka.keyphrases.calibration import document_of, top_candidates
from kartoteka.keyphrases.context import Wording, wording
from kartoteka.keyphrases.cut import Size
from kartoteka.keyphrases.dense import DENSE, TRAINED, VectorArrays, dense_features, open_vectors
from kartoteka.keyphrases.features import features, names
from kartoteka.keyphrases.gather import gather
from kartoteka.keyphrases.merge import ORIGINS, Candidate, Keyphrase, keyphrases
from kartoteka.keyphrases.neighbours import AnnotatedVectors, LeftOut, Lexical, find_neighbours
from kartoteka.keyphrases.phrases import language_column
from kartoteka.keyphrases.pool import EXTRACTED, NEIGHBOUR, VOCABULARY, Asked, Pool
from kartoteka.keyphrases.ranker import Ranker
from kartoteka.keyphrases.rules import prior_rule, votes_rule
from kartoteka.keyphrases.settings import KeyphraseSettings
from kartoteka.keyphrases.sources import Neighbours, Terms, document_terms
from kartoteka.keyphrases.spans import SPANS, Trained, span_features
from kartoteka.keyphrases.words import document_words
from kartoteka.text.words import content_stems

_BITS = dict(zip(ORIGINS, (NEIGHBOUR, VOCABULARY, EXTRACTED), strict=True))
_NEIGHBOURS = 5


@dataclass(frozen=True, slots=True)
class Candidates:
    """The candidates of n documents, their words, and their feature rows float32 [m, len(names)]."""

    pool: Pool
    terms: Terms
    named: Wording
    rows: np.ndarray
    names: list[str]


@dataclass(frozen=True)
class Suggester:
    """Everything keyphrases are made from. `lexical` numbers the annotated documents as `archive` does.

    `dense` and `vectors` are None where nothing was embedded; `ranker` is None where none could be fitted. `trained`:
    the vectors of a trained ranker's encoder, beside those of the edition's; `trained_dense`: its neighbours.
    """

    archive: Archive
    lexical: Lexical
    settings: KeyphraseSettings
    ranker: Ranker | None = None
    dense: AnnotatedVectors | None = None
    vectors: VectorArrays | None = None
    trained: VectorArrays | None = None
    trained_dense: AnnotatedVectors | None = None

    @staticmethod
    def open(
        folder: Path,
        lexical: Lexical,
        settings: KeyphraseSettings,
        ranker: Path | None = None,
        dense: AnnotatedVectors | None = None,
        trained: Path | None = None,
        trained_dense: AnnotatedVectors | None = None,
    ) -> Suggester:
        """Map the archive in `folder`, with the vectors that were written beside it, and read the ranker.

        `trained`: folder of the vectors of a trained ranker's encoder.

        Raises `FileNotFoundError` or `ValueError` when a file is missing or is something else.
        """
        return Suggester(
            Archive.open(folder),
            lexical,
            settings,
            Ranker.open(ranker) if ranker is not None else None,
            dense,
            open_vectors(folder),
            open_vectors(trained) if trained is not None else None,
            trained_dense,
        )

    def candidates(
        self,
        documents: pa.Table,
        vectors: np.ndarray | None,
        own: np.ndarray,
        left_out: LeftOut | None = None,
        trained: Trained | None = None,
    ) -> Candidates:
        """Candidates and features of `documents` (title, abstract, lang).

        `vectors` float [n, d] unit vectors or None; `own` int64 [n]: number among the annotated documents, -1 for none.
        `left_out`: annotated documents each is to know nothing of, itself among them; by default itself alone.
        `trained`: what the trained ranker's encoder makes of them, or None.
        """
        own = np.ascontiguousarray(own, np.int64)
        left_out = left_out or LeftOut.itself(own)
        titles, abstracts, langs = (documents[name].to_pylist() for name in ("title", "abstract", "lang"))
        words = document_words(titles, abstracts, langs)
        terms = document_terms(titles, abstracts, langs, self.settings.terms)
        column = language_column(self.archive.languages)
        columns = np.array([column.get(lang, 0) for lang in langs], np.int64)
        if vectors is not None:
            vectors = np.asarray(vectors, np.float32)
        others = None if trained is None else np.asarray(trained.vectors, np.float32)
        found = self._neighbours(titles, abstracts, langs, vectors, own, left_out, others)
        asked = Asked(
            np.stack([near.numbers for near in found], axis=1), np.stack([near.scores for near in found], axis=1),
            columns, own, left_out.offsets, left_out.numbers,
        )  # fmt: skip
        pool = Pool(*gather(self.archive.arrays, words.arrays, terms.arrays, asked))
        rows = [features(self.archive, words, terms, asked, pool)]
        columns_ = names(len(found))
        for near, arrays, block in ((vectors, self.vectors, DENSE), (others, self.trained, TRAINED)):
            if near is not None and arrays is not None:
                rows.append(dense_features(self.archive, arrays, pool, asked, near))
                columns_ += block
        if trained is not None and trained.spans is not None:
            rows.append(span_features(self.archive.arrays, words.arrays, terms.arrays, pool, trained.spans))
            columns_ += SPANS
        named = wording(self.archive.arrays, terms.arrays, pool, columns)
        return Candidates(pool, terms, named, np.concatenate(rows, axis=1), columns_)

    def _neighbours(
        self,
        titles: list[str],
        abstracts: list[str],
        langs: list[str],
        vectors: np.ndarray | None,
        own: np.ndarray,
        left_out: LeftOut,
        trained: np.ndarray | None,
    ) -> list[Neighbours]:
        if self.archive.documents == 0:
            return [Neighbours(np.full((len(own), 1), -1, np.int64), np.zeros((len(own), 1), np.float32))]
        queries = [
            content_stems(f"{title}\n{abstract}", lang)
            for title, abstract, lang in zip(titles, abstracts, langs, strict=True)
        ]
        return find_neighbours(
            self.lexical, self.dense, queries, vectors, own, left_out, self.settings, self.trained_dense, trained
        )

    def suggest(
        self, documents: pa.Table, vectors: np.ndarray | None, own: np.ndarray, trained: Trained | None = None
    ) -> pa.Table:
        """The keyphrases of `documents` (id, title, abstract, lang) as a `KEYPHRASES_SCHEMA` table, in their order."""
        found = self.candidates(documents, vectors, own, trained=trained)
        if self.settings.method == "votes":
            order = score = votes_rule(found.pool)
        elif self.ranker is None or list(self.ranker.names) != found.names:
            order = score = prior_rule(found.pool)
        else:
            order, score = self.ranker.rank(found.rows, found.pool.offsets, prior_rule(found.pool), found.named)
            return self.table(documents, found, order, score, self.ranker.size)
        return self.table(documents, found, order, score)

    def table(
        self, documents: pa.Table, found: Candidates, order: np.ndarray, score: np.ndarray, size: Size | None = None
    ) -> pa.Table:
        """The best candidates by `order` float64 [m] as keyphrases with `score` float64 [m].

        `size`: how many a document is expected to have, where the scores are probabilities; needed by another `cut`
        than `limit`.
        """
        pool, settings = found.pool, self.settings
        references: list[float | None] = [None] * documents.num_rows
        if settings.cut == "expected_f1" and size is not None:
            references = size.references(order, score, pool.offsets).tolist()
        top = top_candidates(order, pool.offsets, 2 * settings.limit + 8 * settings.per_category)
        surfaces = iter(self.archive.surfaces.take(pa.array(pool.phrase[top][pool.phrase[top] >= 0])).to_pylist())
        phrases = [
            next(surfaces) if pool.phrase[row] >= 0 else found.terms.phrases[pool.term[row]] for row in top.tolist()
        ]
        numbers = [self._carriers(pool, row) for row in top.tolist()]
        flat = np.array([number for few in numbers for number in few], np.int64)
        ids = iter(self.archive.ids.take(pa.array(flat)).to_pylist())
        candidates = [
            Candidate(
                phrase,
                float(score[row]),
                tuple(name for name, bit in _BITS.items() if pool.origin[row] & bit),
                tuple(next(ids) for _ in few),
            )
            for row, phrase, few in zip(top.tolist(), phrases, numbers, strict=True)
        ]
        bounds = np.searchsorted(document_of(pool.offsets, top), np.arange(len(pool.offsets)))
        columns = zip(*(documents[name].to_pylist() for name in ("title", "abstract", "lang")), strict=True)
        lists = [
            keyphrases(candidates[bounds[d] : bounds[d + 1]], title, abstract, lang, settings, references[d])
            for d, (title, abstract, lang) in enumerate(columns)
        ]
        return pa.table(
            [documents["id"].combine_chunks(), pa.array([[_row(k) for k in some] for some in lists])],
            schema=KEYPHRASES_SCHEMA,
        ) if lists else KEYPHRASES_SCHEMA.empty_table()  # fmt: skip

    def _carriers(self, pool: Pool, row: int) -> list[int]:
        """Up to 5 neighbours that carry the candidate: the lists by turns, best first."""
        by_turns = pool.carriers[row].T.ravel().tolist()
        return [number for number in dict.fromkeys(by_turns) if number >= 0][:_NEIGHBOURS]


def _row(found: Keyphrase) -> dict[str, object]:
    return {
        "phrase": found.phrase,
        "score": found.score,
        "category": found.category,
        "origins": found.origins,
        "neighbours": found.neighbours,
        "concept": None,
    }
