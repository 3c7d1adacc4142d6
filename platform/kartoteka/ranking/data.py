"""The training data as flat, memory-mapped arrays: made once, on a cluster, and read by every worker."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
from rich.console import Console

from kartoteka.edition import BUILD, MANIFEST, parts_of
from kartoteka.encoding.models import resolve_model
from kartoteka.encoding.spans import LONGEST
from kartoteka.flow.build import Build, total_facts
from kartoteka.flow.ledger import Completion
from kartoteka.folders import describe, description, new_array, whole_folder
from kartoteka.keyphrases.archive import Archive
from kartoteka.keyphrases.hashing import hash_words
from kartoteka.keyphrases.settings import KeyphraseSettings
from kartoteka.lexical.settings import LexicalSettings
from kartoteka.ragged import append, pick
from kartoteka.ranking.directory import RankerFiles
from kartoteka.ranking.pairs import WORD_COLUMNS, CountPieces, Pairs, pairs_file, pieces_file, tokeniser_of
from kartoteka.ranking.settings import RankerSettings
from kartoteka.ranking.split import Split, check_unseen, split_of
from kartoteka.ranking.start import open_start
from kartoteka.ranking.student import STUDENT, write_student
from kartoteka.ranking.teacher import AskTeacher, plan_of, soft_labels
from kartoteka.storage import Storage
from kartoteka.training.task import data_of

ARCHIVE = "ranker/archive"
ARRAYS = "arrays"
_KIND = "pairs"
#: What of the settings decides the data; a change of the rest leaves it as it is.
_DECIDES = {
    "neighbours", "pool", "separator", "max_document_tokens", "max_phrase_tokens", "validation_documents",
    "fusion_share", "seed", "student", "documents",
}  # fmt: skip
#: The files of `WordArrays`.
_WORDS = (*WORD_COLUMNS, "word_offsets")
_IDENTITY = ("ids.arrow", "surfaces.arrow", "doc_offsets.npy", "doc_phrases.npy")
_PHRASES = 50_000


class WordArrays(NamedTuple):
    """The words that are read of n documents, m in all: the document i has the rows `offsets[i]:offsets[i + 1]`.

    `first`, `last` int16 [m]: first and last token in the document. `labels` int8 [m, L]: see `labels.span_labels`;
    with a teacher float16, see `teacher.mixed`. `offsets` int64 [n + 1].
    """

    first: np.ndarray
    last: np.ndarray
    labels: np.ndarray
    offsets: np.ndarray

    def of(self, rows: np.ndarray) -> Self:
        """Those of the documents `rows`."""
        (first, offsets), (last, _), (labels, _) = (pick(values, self.offsets, rows) for values in self[:3])
        return WordArrays(first, last, labels, offsets)


class PairArrays(NamedTuple):
    """n documents of training and validation, P phrases. Ragged arrays are flat, with int64 offsets.

    `numbers` int64 [n]: number among the annotated documents; `split` int8 [n]. `tokens` int32, `positives` and `pool`
    int32, `rank` int16 of each document (see `pairs.FindPairs`); `phrase_tokens` int32 of each phrase. `seen` uint64:
    hashes of the ids, and of those that the rankers before it have seen, sorted. `words`: where runs of words are
    learned.
    """

    numbers: np.ndarray
    split: np.ndarray
    tokens: np.ndarray
    token_offsets: np.ndarray
    positives: np.ndarray
    positive_offsets: np.ndarray
    pool: np.ndarray
    rank: np.ndarray
    pool_offsets: np.ndarray
    phrase_tokens: np.ndarray
    phrase_offsets: np.ndarray
    seen: np.ndarray
    words: WordArrays | None = None

    @property
    def training(self) -> np.ndarray:
        """Rows int64 of the training documents."""
        return np.flatnonzero(self.split == Split.TRAINING)

    @property
    def validation(self) -> np.ndarray:
        """Rows int64 of the validation documents."""
        return np.flatnonzero(self.split == Split.VALIDATION)


@lru_cache(maxsize=2)
def open_arrays(data: str) -> PairArrays:
    """Map the arrays in the folder `data`. Raises `ValueError` naming a file that is missing or torn."""
    folder = Storage(data).local(ARRAYS)
    description(folder, _KIND)

    def load(names: Sequence[str]) -> Iterator[np.ndarray]:
        return (np.load(folder / f"{name}.npy", mmap_mode="r") for name in names)

    words = WordArrays(*load(_WORDS)) if (folder / f"{_WORDS[0]}.npy").exists() else None
    return PairArrays(*load(PairArrays._fields[:-1]), words)


@lru_cache(maxsize=2)
def open_archive(edition: str) -> Archive:
    """Map the archive of an edition."""
    return Archive.open(Storage(edition).local(ARCHIVE))


@lru_cache(maxsize=2)
def training_rows(data: str) -> np.ndarray:
    """`PairArrays.training` of the folder `data`."""
    return open_arrays(data).training


def prepare(
    run: Storage,
    edition: str,
    encoder: str,
    settings: RankerSettings,
    keyphrases: KeyphraseSettings,
    lexical: LexicalSettings,
    teacher: RankerFiles | None = None,
    gpus: float = 0.0,
) -> dict[str, Any]:
    """Make the model to start from and the arrays below `data/` of the run; what is there already is kept.

    `encoder`: see `open_start`. With a `teacher` the labels of spans are what it says too; each of its workers holds
    `gpus`. Returns counts and hashes. Raises `ValueError`: `edition` has no annotated documents, or too few; `encoder`
    cannot be made smaller as the settings ask; it or the teacher has seen what the fusion is to be fitted on; `data/`
    was made from something else.
    """
    source, data = Storage(edition), data_of(run)
    parts = parts_of(source)
    if not source.exists(f"{ARCHIVE}/ids.arrow"):
        raise ValueError(f"edition: {edition} has no archive of keyphrases ({ARCHIVE})")
    archive = Archive.open(source.local(ARCHIVE))
    if not archive.documents:
        raise ValueError(f"edition: {edition} has no annotated document to learn from")
    start = open_start(encoder)
    stored = source.stored(ARCHIVE)
    plan = {
        "archive": {name: stored[f"{ARCHIVE}/{name}"].sha256 for name in _IDENTITY},
        "encoder": start.identity,
        "ranker": settings.model_dump(include=_DECIDES) | ({"spans": True} if settings.span_weight else {}),
        "keyphrases": keyphrases.model_dump(include={"training_documents", "seed"}),
        "lexical": lexical.model_dump(),
    }
    before = {name: ranker for name, ranker in (("encoder", start.ranker), ("teacher", teacher)) if ranker is not None}
    if before:
        ids = archive.ids.to_pylist()
        split = split_of(ids, archive.documents, settings, keyphrases)
        for name, ranker in before.items():
            check_unseen(name, ranker, ids, split)
    if teacher is not None:
        plan["teacher"] = plan_of(teacher, settings.teacher_weight)
    build = Build(data, plan, Console(highlight=False))
    if not build.is_complete():
        todo: dict[str, int | None] = dict.fromkeys(parts)
        with build.locked():
            if settings.student.vocabulary is not None:
                build.run(CountPieces(edition, start.directory, settings), todo)
            build.run_tasks("student", {"all": MakeStudent(edition, encoder, settings, parts)})
            done = build.run(Pairs(edition, data.whole(), settings, keyphrases, lexical), todo)
            facts = total_facts(done)
            if not facts["training"] or not facts["validation"]:
                drawn = f" (`ranker.documents` is {settings.documents})" if settings.documents is not None else ""
                raise ValueError(
                    f"edition: {edition} has {archive.documents} annotated documents, of which {facts['training']} are "
                    f"left to train on{drawn} and {facts['validation']} to validate on: too few"
                )
            if teacher is not None:
                build.run(AskTeacher(edition, teacher, gpus), todo)
            arrays = WriteArrays(edition, settings, parts, facts, teacher is not None, list(before.values()))
            build.run_tasks("arrays", {"all": arrays})
        data.put_json(MANIFEST, {"plan": plan, "plan_hash": build.plan_hash, "facts": facts})
    data.delete(BUILD)
    facts = data.get_json(MANIFEST)["facts"]
    return {
        "archive_documents": archive.documents,
        "archive_phrases": archive.phrases,
        "archive_sha256": plan["archive"],
        "encoder": plan["encoder"],
        "student_sha256": resolve_model(str(data.local(STUDENT))).sha256,
        **({"teacher": plan["teacher"]} if teacher is not None else {}),
        **facts,
    }


@dataclass(frozen=True)
class MakeStudent:
    """The model that training starts from, in the folder `student`, with the head of the ranker it is made of."""

    edition: str
    encoder: str
    settings: RankerSettings
    parts: Sequence[str]

    def __call__(self, storage: Storage) -> Completion:
        """Write it."""
        start, settings = open_start(self.encoder), self.settings
        uses = self._uses(storage, start.directory) if settings.student.vocabulary is not None else None
        with storage.folder(STUDENT, whole=True) as place, whole_folder(place) as folder:
            write_student(start.model, folder, settings.student, settings.max_document_tokens, uses)
            if settings.span_weight:
                start.write_head(folder)
        return Completion("")

    def _uses(self, storage: Storage, encoder: str) -> np.ndarray:
        """How often documents and phrases have each piece, int64."""
        surfaces = Archive.open(Storage(self.edition).local(ARCHIVE)).surfaces
        tokeniser = tokeniser_of(encoder, self.settings.max_phrase_tokens)
        uses = np.zeros(0, np.int64)
        for part in self.parts:
            counts = storage.table(pieces_file(part))
            uses = _added(uses, counts["piece"].to_numpy(), counts["count"].to_numpy())
        for start in range(0, len(surfaces), _PHRASES):
            ids = tokeniser(surfaces.slice(start, _PHRASES).to_pylist()).ids
            uses = _added(uses, *np.unique(ids, return_counts=True))
        return uses


@dataclass(frozen=True)
class WriteArrays:
    """The arrays of all parts as one; `facts` say how long each will be, so that they are written as they come."""

    edition: str
    settings: RankerSettings
    parts: Sequence[str]
    facts: dict[str, int]
    taught: bool
    """Whether a teacher has been asked."""
    before: Sequence[RankerFiles]
    """The rankers that this one is made of and taught by: what they have seen, it has seen."""

    def __call__(self, storage: Storage) -> Completion:
        """Write them into the folder `arrays`."""
        documents = self.facts["training"] + self.facts["validation"]
        ragged = {name: some for name, some in _RAGGED.items() if some.fact in self.facts}
        if self.taught:
            ragged["word_labels"] = ragged["word_labels"]._replace(kind=np.float16)
        with storage.folder(ARRAYS, whole=True) as place, whole_folder(place) as folder:
            flat = {
                name: new_array(folder, name, some.kind, self.facts[some.fact], *some.shape)
                for name, some in ragged.items()
            }
            names = {some.offsets for some in ragged.values()}
            offsets = {name: new_array(folder, name, np.int64, documents + 1) for name in names}
            kinds = {"numbers": np.int64, "split": np.int8}
            single = {name: new_array(folder, name, kind, documents) for name, kind in kinds.items()}
            row, ids = 0, []
            for part in self.parts:
                pairs = storage.table(pairs_file(part))
                single["numbers"][row : row + pairs.num_rows] = pairs["own"].to_numpy()
                single["split"][row : row + pairs.num_rows] = pairs["split"].to_numpy()
                ids.append(hash_words(pairs["id"].to_pylist()))
                if self.taught:
                    labels = soft_labels(storage, part, pairs, self.settings.teacher_weight)
                    pairs = pairs.set_column(pairs.column_names.index("word_labels"), "word_labels", labels)
                for name, values in flat.items():
                    append(pairs[name], values, offsets[ragged[name].offsets], row)
                row += pairs.num_rows
            for values in (*flat.values(), *offsets.values(), *single.values()):
                values.flush()
            ids += [ranker.seen for ranker in self.before]
            np.save(folder / "seen.npy", np.unique(np.concatenate(ids)))
            self._phrases(folder, str(storage.local(STUDENT)))
            describe(folder, _KIND, {"documents": documents})
        return Completion("", documents, documents)

    def _phrases(self, folder: Path, student: str) -> None:
        surfaces = Archive.open(Storage(self.edition).local(ARCHIVE)).surfaces
        tokeniser = tokeniser_of(student, self.settings.max_phrase_tokens)
        blocks = [tokeniser(surfaces.slice(start, _PHRASES).to_pylist()) for start in range(0, len(surfaces), _PHRASES)]
        lengths = np.concatenate([np.zeros(0, np.int64), *(block.lengths for block in blocks)])
        np.save(folder / "phrase_tokens.npy", np.concatenate([np.zeros(0, np.int32), *(b.ids for b in blocks)]))
        np.save(folder / "phrase_offsets.npy", np.concatenate([[0], np.cumsum(lengths)]))


class _Ragged(NamedTuple):
    """A ragged array: type and shape of its values, its offsets, and the fact that counts its values."""

    kind: type
    offsets: str
    fact: str
    shape: tuple[int, ...] = ()


_RAGGED = {
    "tokens": _Ragged(np.int32, "token_offsets", "all_tokens"),
    "positives": _Ragged(np.int32, "positive_offsets", "all_positives"),
    "pool": _Ragged(np.int32, "pool_offsets", "all_pool"),
    "rank": _Ragged(np.int16, "pool_offsets", "all_pool"),
    "word_first": _Ragged(np.int16, "word_offsets", "all_words"),
    "word_last": _Ragged(np.int16, "word_offsets", "all_words"),
    "word_labels": _Ragged(np.int8, "word_offsets", "all_words", (LONGEST,)),
}


def _added(uses: np.ndarray, pieces: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """`uses` with `counts` added at `pieces`, as long as it must be."""
    return np.bincount(np.concatenate([np.arange(len(uses)), pieces]), weights=np.concatenate([uses, counts])).astype(
        np.int64
    )
