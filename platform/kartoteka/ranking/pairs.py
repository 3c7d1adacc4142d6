"""Pairs: what the ranker learns from, found in the archive itself and laid out for training.

Each annotated document asks the others' lexical index, never itself or its twins; the phrases it carries are its
positives, those of its neighbours that it does not carry its hard negatives. Two stages over the parts of the edition
(uses of word pieces; pairs) and two tasks (the model to start from; the flat arrays), resumed like any other build.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from kartoteka.edition import BUILD
from kartoteka.encoding.models import resolve_model
from kartoteka.encoding.tokens import TextTokeniser
from kartoteka.encoding.transformer import load_tokenizer
from kartoteka.flow.ledger import Completion
from kartoteka.flow.stage import Step
from kartoteka.keyphrases.archive import Archive
from kartoteka.keyphrases.hashing import hash_words
from kartoteka.keyphrases.neighbours import find_neighbours
from kartoteka.keyphrases.settings import KeyphraseSettings
from kartoteka.keyphrases.twins import find_carriers, find_twins
from kartoteka.lexical.index import ShardedIndex
from kartoteka.lexical.settings import LexicalSettings
from kartoteka.ragged import with_lists
from kartoteka.ranking.labels import RIGHT, LabelSpans
from kartoteka.ranking.settings import RankerSettings
from kartoteka.ranking.split import Split, split_of
from kartoteka.ranking.student import STUDENT
from kartoteka.stages.analyse import stems_of
from kartoteka.stages.embed import texts_of
from kartoteka.storage import Storage
from kartoteka.training.edition import OfEdition

#: What is kept of documents' words where their runs are learned.
WORD_COLUMNS = ("word_first", "word_last", "word_labels")
_USED = (Split.TRAINING, Split.VALIDATION)


def tokeniser_of(model: str, max_tokens: int) -> TextTokeniser:
    """The tokeniser of a model, a directory or a hub id, cutting texts to `max_tokens`."""
    files = resolve_model(model)
    tokenizer, limit = load_tokenizer(files)
    return TextTokeniser(tokenizer, min(max_tokens, limit), prompt=files.prompt)


@dataclass
class Tokenise(Step):
    """Adds `tokens`: the model's token ids of each document; `word_first`, `word_last` too if `words` are placed.

    `model`: a directory or a hub id; with `data`, a folder of that storage, which may be a bucket.
    """

    model: str
    separator: str
    max_tokens: int
    words: bool = False
    data: str | None = None
    name = "tokenise"

    def open(self) -> None:
        """Load the tokeniser."""
        model = self.model if self.data is None else str(Storage(self.data).local(self.model))
        self.tokeniser = tokeniser_of(model, self.max_tokens)

    def apply(self, rows: pa.Table) -> pa.Table:
        """Tokenise title and abstract."""
        texts = texts_of(rows, self.separator)
        if not self.words:
            tokens = self.tokeniser(texts)
            return with_lists(rows, {"tokens": tokens.ids}, tokens.offsets)
        tokens, places = self.tokeniser.with_words(texts, self.separator)
        rows = with_lists(rows, {"tokens": tokens.ids}, tokens.offsets)
        return with_lists(rows, {"word_first": places.first, "word_last": places.last}, places.offsets)


@dataclass
class FindPairs(Step):
    """Adds `split`, `positives`, and of the documents that are used `pool` and `rank`.

    `pool`: phrases of the neighbours by summed score; in training without the document's own. `rank`: the first
    neighbour that carries each, from 1.
    """

    edition: str
    settings: RankerSettings
    keyphrases: KeyphraseSettings
    lexical: LexicalSettings
    name = "find"

    def open(self) -> None:
        """Map the archive and its index."""
        edition = Storage(self.edition)
        self.archive = Archive.open(edition.local("ranker/archive"))
        self.index = ShardedIndex.open(edition.local("lexical"), self.lexical)
        self.carriers = find_carriers(self.archive)
        hashes = hash_words(self.archive.ids.to_pylist())
        self.by_hash = np.argsort(hashes, kind="stable")
        self.hashes = hashes[self.by_hash]

    def apply(self, rows: pa.Table) -> pa.Table:
        """Find the pairs of each row; what one gets does not depend on the others."""
        ids = rows["id"].to_pylist()
        own = self._numbers(ids)
        split = self._splits(ids, own)
        used = np.flatnonzero(np.isin(split, _USED))
        queries = stems_of(rows.take(pa.array(used)))
        asked = KeyphraseSettings(neighbours=self.settings.neighbours, retrieval="lexical")
        left_out = find_twins(self.archive, own[used], self.carriers)
        near = find_neighbours(self.index, None, queries, None, own[used], left_out, asked)[0] if len(used) else None
        pools, ranks = [np.zeros(0, np.int32)] * len(ids), [np.zeros(0, np.int16)] * len(ids)
        for place, row in enumerate(used.tolist()):
            phrases, rank = pool_of(self.archive, near.numbers[place], near.scores[place])
            if split[row] == Split.TRAINING:
                kept = ~np.isin(phrases, self.archive.phrases_of(own[row]))
                phrases, rank = phrases[kept][: self.settings.pool], rank[kept][: self.settings.pool]
            pools[row], ranks[row] = phrases, rank
        positives = [self.archive.phrases_of(n) if n >= 0 else np.zeros(0, np.int32) for n in own.tolist()]
        for name, values in (("split", pa.array(split)), ("own", pa.array(own))):
            rows = rows.append_column(name, values)
        for name, lists, kind in (
            ("positives", positives, np.int32), ("pool", pools, np.int32), ("rank", ranks, np.int16)
        ):  # fmt: skip
            rows = rows.append_column(name, _lists(lists, kind))
        return rows

    def _numbers(self, ids: list[str]) -> np.ndarray:
        """Number of each id among the archive's documents, int64, -1 where it has none."""
        wanted = hash_words(ids)
        places = np.minimum(np.searchsorted(self.hashes, wanted), len(self.hashes) - 1)
        return np.where(self.hashes[places] == wanted, self.by_hash[places], -1).astype(np.int64)

    def _splits(self, ids: list[str], own: np.ndarray) -> np.ndarray:
        """`split_of`, with what has no phrase, or a twin that is to be measured or fitted on, set aside."""
        split = self._split_of(ids)
        sizes = np.diff(self.archive.arrays.doc_offsets)
        split[(own < 0) | (sizes[np.maximum(own, 0)] == 0)] = Split.ASIDE
        rows = np.flatnonzero(split == Split.TRAINING)
        twins = find_twins(self.archive, own[rows], self.carriers)
        of = np.repeat(rows, np.diff(twins.offsets))
        others = self._split_of(self.archive.ids.take(pa.array(twins.numbers)).to_pylist())
        split[of[np.isin(others, (Split.VALIDATION, Split.FUSION))]] = Split.ASIDE
        return split

    def _split_of(self, ids: list[str]) -> np.ndarray:
        return split_of(ids, self.archive.documents, self.settings, self.keyphrases)


def pool_of(archive: Archive, numbers: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Phrases int32 of the neighbours `numbers` (-1: none) by summed score, and the first neighbour of each, int16."""
    found = np.flatnonzero(numbers >= 0)
    lists = [archive.phrases_of(number) for number in numbers[found].tolist()]
    at = np.repeat(found, [len(some) for some in lists]).astype(np.int64)
    flat = np.concatenate([np.zeros(0, np.int32), *lists])
    phrases, first, place = np.unique(flat, return_index=True, return_inverse=True)
    sums = np.bincount(place, weights=scores[at], minlength=len(phrases))
    order = np.lexsort((phrases, -sums))
    return phrases[order].astype(np.int32), (at[first][order] + 1).astype(np.int16)


class CountPieces(OfEdition):
    """How often the documents of a part use each word piece of the model that training starts from."""

    name = "pieces"

    def __init__(self, edition: str, encoder: str, settings: RankerSettings) -> None:
        self.edition = edition
        self.steps = [Tokenise(encoder, settings.separator, settings.max_document_tokens)]

    def write(self, storage: Storage, part: str, rows: pa.Table, refused: pa.Table) -> Completion:
        """Put the counts into the build."""
        pieces, counts = np.unique(rows["tokens"].combine_chunks().flatten().to_numpy(), return_counts=True)
        storage.put_table(pieces_file(part), pa.table({"piece": pieces, "count": counts}))
        return Completion(part, rows.num_rows, rows.num_rows)


class Pairs(OfEdition):
    """The documents of a part that training and validation use, as numbers."""

    name = "pairs"

    def __init__(
        self,
        edition: str,
        data: str,
        settings: RankerSettings,
        keyphrases: KeyphraseSettings,
        lexical: LexicalSettings,
    ) -> None:
        self.edition = edition
        self.spans = settings.span_weight > 0
        self.steps = [
            Tokenise(STUDENT, settings.separator, settings.max_document_tokens, self.spans, data),
            FindPairs(edition, settings, keyphrases, lexical),
            *([LabelSpans(edition)] if self.spans else []),
        ]

    def write(self, storage: Storage, part: str, rows: pa.Table, refused: pa.Table) -> Completion:
        """Put the pairs of the part into the build."""
        split = rows["split"].to_numpy()
        kept = rows.filter(pa.array(np.isin(split, _USED))).select(
            ["id", "own", "split", "tokens", "positives", "pool", "rank", *(WORD_COLUMNS if self.spans else ())]
        )
        storage.put_table(pairs_file(part), kept)
        facts = {kind.name.lower(): int((split == kind).sum()) for kind in Split}
        for name in ("tokens", "positives", "pool"):
            facts[f"all_{name}"] = _values(kept[name])
        if self.spans:
            labels = kept["word_labels"].combine_chunks().flatten().to_numpy()
            facts |= {"all_words": _values(kept["word_first"]), "all_spans": int((labels == RIGHT).sum())}
        return Completion(part, rows.num_rows, kept.num_rows, facts=facts)


def pieces_file(part: str) -> str:
    """Uses of word pieces in a part."""
    return f"{BUILD}/pieces/{part}.parquet"


def pairs_file(part: str) -> str:
    """The pairs of a part."""
    return f"{BUILD}/pairs/{part}.parquet"


def _values(lists: pa.ChunkedArray) -> int:
    return len(lists.combine_chunks().flatten())


def _lists(values: Sequence[np.ndarray], kind: type) -> pa.LargeListArray:
    offsets = np.zeros(len(values) + 1, np.int64)
    np.cumsum([len(some) for some in values], out=offsets[1:])
    return pa.LargeListArray.from_arrays(offsets, np.concatenate([np.zeros(0, kind), *values]))
