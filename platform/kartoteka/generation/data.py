"""Training data of the generator: the annotated documents of an edition as flat token arrays on the disk.

All of it streams: the annotated documents go to a file beside; from that the vocabulary is learned; then it is written
as tokens.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from kartoteka.folders import describe, description, whole_folder
from kartoteka.generation import targets
from kartoteka.generation.base import resolve_base
from kartoteka.generation.settings import GeneratorSettings
from kartoteka.generation.vocabulary import base_tokenizer, encode, learn_tokenizer, open_tokenizer
from kartoteka.keyphrases.hashing import spread, within
from kartoteka.ragged import pick
from kartoteka.storage import Storage

KIND = "generator examples"
EXAMPLES = "data/examples"
TOKENIZER = "data/tokenizer"
VALIDATION = "data/validation.parquet"
#: What of a document the generator knows.
COLUMNS = ("id", "title", "abstract", "lang", "keyphrases")
SCHEMA = pa.schema([*((name, pa.string()) for name in COLUMNS[:-1]), ("keyphrases", pa.list_(pa.string()))])
_ROWS = 2048
_IDS = pa.schema([("id", pa.string())])


@dataclass(frozen=True)
class Ragged:
    """Rows of tokens, int32, one after the other; row i is [offsets[i], offsets[i + 1])."""

    tokens: np.ndarray
    offsets: np.ndarray

    def lengths(self, rows: np.ndarray) -> np.ndarray:
        """Tokens of each of `rows`, int64."""
        return self.offsets[rows + 1] - self.offsets[rows]

    def take(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The tokens int32 [n] of `rows`, and where each begins and ends, int64 [rows + 1]."""
        return pick(self.tokens, self.offsets, rows)


@dataclass(frozen=True)
class Examples:
    """The training documents, memory-mapped, by number."""

    sources: Ragged
    targets: Ragged
    ids: pa.ChunkedArray

    def __len__(self) -> int:
        return len(self.ids)

    @staticmethod
    def open(folder: Path) -> Examples:
        """Map what `prepare` wrote. Raises `ValueError` naming the file that is missing or torn."""
        description(folder, KIND)
        with pa.memory_map(str(folder / "ids.arrow")) as file:
            ids = pa.ipc.open_file(file).read_all()["id"]
        return Examples(_map(folder, "sources"), _map(folder, "targets"), ids)


def _map(folder: Path, name: str) -> Ragged:
    offsets = np.load(folder / f"{name}.offsets.npy", mmap_mode="r")
    return Ragged(np.memmap(folder / f"{name}.int32", np.int32, "r", shape=(int(offsets[-1]),)), offsets)


def document_files(edition: Storage) -> list[str]:
    """The document tables of an edition. Raises `ValueError` when there is none."""
    files = edition.list("documents", ".parquet")
    if not files:
        raise ValueError(f"edition: {edition.uri} has no documents")
    return files


def documents(edition: Storage, columns: tuple[str, ...] = COLUMNS, rows: int = _ROWS) -> Iterator[pa.Table]:
    """The documents of an edition, up to `rows` at a time, in its order."""
    for name in document_files(edition):
        with edition.fs.open_input_file(edition.path(name)) as file, pq.ParquetFile(file) as table:
            for batch in table.iter_batches(rows, columns=list(columns)):
                yield pa.Table.from_batches([batch])


def _gather(edition: Storage, seed: int, most: int, spill: Path) -> tuple[int, np.ndarray]:
    """Write the documents with keyphrases to `spill`, the keyphrases as the decoder is to write them.

    Returns how many there are, and the lowest `most` of their `ranks`.
    """
    count, first = 0, np.zeros(0, np.uint64)
    with pq.ParquetWriter(spill, SCHEMA, compression="zstd") as writer:
        for table in documents(edition):
            rows = table.to_pylist()
            for row in rows:
                row["keyphrases"] = targets.ordered(row["title"], row["abstract"], row["keyphrases"], row["lang"])
            if rows := [row for row in rows if row["keyphrases"]]:
                writer.write_table(pa.Table.from_pylist(rows, SCHEMA))
                count += len(rows)
                first = np.sort(np.concatenate([first, ranks([row["id"] for row in rows], seed)]))[:most]
    return count, first


def _rows(spill: Path) -> Iterator[list[dict[str, Any]]]:
    with pq.ParquetFile(spill) as table:
        for batch in table.iter_batches(_ROWS):
            yield batch.to_pylist()


def ranks(ids: list[str], seed: int) -> np.ndarray:
    """A place of each id in an order that knows only the id and the seed, uint64 [n]: the first are held out."""
    return spread([f"generator:{seed}:{name}" for name in ids])


def prepare(edition: Storage, run: Storage, settings: GeneratorSettings) -> dict[str, Any]:
    """Write tokeniser, examples and held-out documents below `data/` of the run, unless they are there already.

    Returns the facts of the data. Raises `ValueError`: nothing to learn from, or a base that is no BART.
    """
    plan = _plan(edition, settings)
    if run.exists(EXAMPLES) and description(run.local(EXAMPLES), KIND)["plan"] == plan:
        return facts_of(run)
    with tempfile.TemporaryDirectory(prefix="kartoteka-") as beside:
        spill = Path(beside, "annotated.parquet")
        split = _split(edition, *_gather(edition, settings.seed, settings.validation_documents, spill), settings)
        tokenizer = _tokenizer(spill, settings, split)
        with run.folder(TOKENIZER, whole=True) as place, whole_folder(place) as folder:
            tokenizer.save_pretrained(folder)
        with run.folder(EXAMPLES, whole=True) as place, whole_folder(place) as folder:
            facts, held_out = _write(spill, tokenizer, split, settings, folder)
            run.put_table(VALIDATION, held_out)
            describe(folder, KIND, {"plan": plan, "facts": facts})
    return facts


def facts_of(run: Storage) -> dict[str, Any]:
    """What `prepare` returned when it wrote the data of the run."""
    return description(run.local(EXAMPLES), KIND)["facts"]


def _write(
    spill: Path, tokenizer: Any, split: _Split, settings: GeneratorSettings, folder: Path
) -> tuple[dict[str, Any], pa.Table]:
    """The training documents as tokens in `folder`; the facts, and what is held out by id."""
    writer = _Writer(folder)
    separator = tokenizer.convert_tokens_to_ids(targets.SEPARATOR)
    held_out: list[dict[str, Any]] = []
    languages: Counter[str] = Counter()
    for rows in _rows(spill):
        training = split.training([row["id"] for row in rows])
        held_out += [row for row, mine in zip(rows, training, strict=True) if not mine]
        rows = [row for row, mine in zip(rows, training, strict=True) if mine]
        languages.update(row["lang"] for row in rows)
        sources = encode(tokenizer, [targets.source_text(row["title"], row["abstract"]) for row in rows])
        wanted = encode(tokenizer, [targets.target_text(row["keyphrases"]) for row in rows])
        writer.add(
            [row["id"] for row in rows],
            [targets.fitted_source(tokens, settings.max_source) for tokens in sources],
            [targets.fitted_target(tokens, settings.max_target, separator) for tokens in wanted],
            sum(map(len, sources)) + sum(map(len, wanted)),
        )
    held_out.sort(key=lambda row: row["id"])
    counts = {"annotated": split.annotated, "validation": len(held_out), "vocabulary": len(tokenizer)}
    facts = writer.close() | counts | {"languages": dict(sorted(languages.items()))}
    return facts, pa.Table.from_pylist(held_out, SCHEMA)


def _plan(edition: Storage, settings: GeneratorSettings) -> dict[str, Any]:
    """What decides the data: another plan makes it anew."""
    names = document_files(edition)
    sizes = [info.size for info in edition.fs.get_file_info([edition.path(name) for name in names])]
    kept = settings.model_dump(exclude={"label_smoothing", "decoding", "layers", "width", "heads", "dropout"})
    if settings.base is not None:
        kept["base"] = resolve_base(settings.base, settings.revision).sha256
    listed = hashlib.sha256(repr(list(zip(names, sizes, strict=True))).encode()).hexdigest()
    return {"edition": edition.uri, "files": listed, "settings": kept}


@dataclass(frozen=True, slots=True)
class _Split:
    """Which annotated documents are held out: those up to `last` in the order of `ranks`."""

    annotated: int
    last: np.uint64
    seed: int

    def training(self, ids: list[str]) -> list[bool]:
        return (ranks(ids, self.seed) > self.last).tolist()


def _split(edition: Storage, count: int, first: np.ndarray, settings: GeneratorSettings) -> _Split:
    if count < 2:
        found = f"only {count} document" if count else "no document"
        raise ValueError(
            f"edition: {edition.uri} has {found} with keyphrases: one to learn from and one to hold out are needed"
        )
    return _Split(count, first[min(len(first), max(1, count // 10)) - 1], settings.seed)


def _tokenizer(spill: Path, settings: GeneratorSettings, split: _Split) -> Any:
    if settings.base is not None:
        base = resolve_base(settings.base, settings.revision)
        return base_tokenizer(base.directory, settings.max_source)
    share = min(1.0, settings.vocabulary_documents / split.annotated)

    def texts() -> Iterator[str]:
        for rows in _rows(spill):
            ids = [row["id"] for row in rows]
            chosen = within([f"vocabulary:{settings.seed}:{name}" for name in ids], share)
            for row, training, wanted in zip(rows, split.training(ids), chosen.tolist(), strict=True):
                if training and wanted:
                    yield from map(targets.plain, (row["title"], row["abstract"], *row["keyphrases"]))

    return learn_tokenizer(texts(), settings.vocabulary, settings.max_source)


@dataclass
class _Writer:
    """Token rows appended to files: nothing but their offsets is held."""

    folder: Path
    lengths: dict[str, list[np.ndarray]] = field(default_factory=lambda: {"sources": [], "targets": []})
    whole: int = 0

    def __post_init__(self) -> None:
        self.files = {name: (self.folder / f"{name}.int32").open("wb") for name in self.lengths}
        self.ids = pa.OSFile(str(self.folder / "ids.arrow"), "wb")
        self.names = pa.ipc.new_file(self.ids, _IDS)
        self.digest = hashlib.sha256()

    def add(self, ids: list[str], sources: list[list[int]], wanted: list[list[int]], whole: int) -> None:
        """Documents with their tokens, cut to size; `whole` is how many there were before the cut."""
        self.whole += whole
        self.names.write_batch(pa.record_batch([pa.array(ids, pa.string())], schema=_IDS))
        for name, rows in (("sources", sources), ("targets", wanted)):
            self.lengths[name].append(np.array([len(row) for row in rows], np.int64))
            data = np.array([token for row in rows for token in row], np.int32).tobytes()
            self.digest.update(data)
            self.files[name].write(data)

    def close(self) -> dict[str, Any]:
        """End the files; the facts of the examples."""
        totals = {}
        for name, file in self.files.items():
            file.close()
            lengths = np.concatenate([np.zeros(1, np.int64), *self.lengths[name]])
            np.save(self.folder / f"{name}.offsets.npy", np.cumsum(lengths))
            totals[name] = int(lengths.sum())
        self.names.close()
        self.ids.close()
        kept = sum(totals.values())
        return {
            "training": int(sum(map(len, self.lengths["sources"]))),
            "source_tokens": totals["sources"],
            "target_tokens": totals["targets"],
            "tokens_cut_away": self.whole - kept,
            "sha256": self.digest.hexdigest(),
        }


def open_run_tokenizer(run: Storage) -> Any:
    """The tokeniser that `prepare` left in the run."""
    return open_tokenizer(run.local(TOKENIZER))
