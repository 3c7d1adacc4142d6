"""From the documents of an edition to the examples that a generator learns from, on a cluster and resumed.

Two stages over the parts (keyphrases in the order in which they are to be written; tokens) and two tasks: what is held
out, with the vocabulary; and the flat arrays.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from kartoteka.edition import BUILD
from kartoteka.flow.ledger import Completion
from kartoteka.flow.stage import Step
from kartoteka.folders import IDS, describe, new_array, whole_folder
from kartoteka.generation import targets
from kartoteka.generation.base import resolve_base
from kartoteka.generation.settings import GeneratorSettings
from kartoteka.generation.vocabulary import base_tokenizer, encode, learn_tokenizer, open_tokenizer
from kartoteka.keyphrases.hashing import spread, within
from kartoteka.ragged import append
from kartoteka.storage import Storage
from kartoteka.training.edition import OfEdition

KIND = "generator examples"
TOKENIZER, EXAMPLES, VALIDATION = "tokenizer", "examples", "validation.parquet"
#: What of a document the generator knows, and what it is to write of its keyphrases.
SCHEMA = pa.schema(
    [*((name, pa.string()) for name in ("id", "title", "abstract", "lang")), ("keyphrases", pa.list_(pa.string()))]
)
_SPLIT = f"{BUILD}/split.json"
_TOKENS = pa.large_list(pa.int32())


def ranks(ids: list[str], seed: int) -> np.ndarray:
    """A place of each id in an order that knows only the id and the seed, uint64 [n]: the first are held out."""
    return spread([f"generator:{seed}:{name}" for name in ids])


@dataclass
class Order(Step):
    """Adds `ordered`: the keyphrases as the decoder is to write them."""

    name = "order"

    def apply(self, rows: pa.Table) -> pa.Table:
        """See `targets.ordered`."""
        columns = (rows[name].to_pylist() for name in ("title", "abstract", "keyphrases", "lang"))
        ordered = [targets.ordered(*row) for row in zip(*columns, strict=True)]
        return rows.append_column("ordered", pa.array(ordered, pa.list_(pa.string())))


class Arrange(OfEdition):
    """The documents of a part that have keyphrases with a word in them."""

    name = "arrange"

    def __init__(self, edition: str) -> None:
        self.edition = edition
        self.steps = [Order()]

    def write(self, storage: Storage, part: str, rows: pa.Table, refused: pa.Table) -> Completion:
        """Put them into the build."""
        columns = [*(rows[name] for name in SCHEMA.names[:-1]), rows["ordered"]]
        kept = pa.table(columns, names=SCHEMA.names).cast(SCHEMA)
        kept = kept.filter(pa.array([bool(phrases) for phrases in kept["keyphrases"].to_pylist()], pa.bool_()))
        storage.put_table(_arranged(part), kept)
        return Completion(part, rows.num_rows, kept.num_rows)


@dataclass(frozen=True)
class LearnVocabulary:
    """What is held out, and the tokeniser: that of the base, or one learned from the other documents.

    `annotated`: documents of each part.
    """

    settings: GeneratorSettings
    annotated: dict[str, int]

    def __call__(self, storage: Storage) -> Completion:
        """Write both; the rank of the last document that is held out is a text, for JSON's numbers are not whole."""
        held_out = min(self.settings.validation_documents, max(1, self._count // 10))
        first = np.zeros(0, np.uint64)
        for part in self.annotated:
            ids = storage.table(_arranged(part), ["id"])["id"].to_pylist()
            first = np.sort(np.concatenate([first, ranks(ids, self.settings.seed)]))[:held_out]
        last = first[-1]
        storage.put_json(_SPLIT, {"last": str(last)})
        tokenizer = self._tokenizer(storage, last)
        with storage.folder(TOKENIZER, whole=True) as place, whole_folder(place) as folder:
            tokenizer.save_pretrained(folder)
        return Completion("", self._count, facts={"vocabulary": len(tokenizer)})

    @property
    def _count(self) -> int:
        return sum(self.annotated.values())

    def _tokenizer(self, storage: Storage, last: np.uint64) -> Any:
        settings = self.settings
        if settings.base is not None:
            base = resolve_base(settings.base, settings.revision)
            return base_tokenizer(base.directory, settings.max_source)
        return learn_tokenizer(self._texts(storage, last), settings.vocabulary, settings.max_source)

    def _texts(self, storage: Storage, last: np.uint64) -> Iterator[str]:
        """Those of about as many training documents as the vocabulary is to be learned from."""
        share = min(1.0, self.settings.vocabulary_documents / self._count)
        for part in self.annotated:
            rows = storage.table(_arranged(part))
            ids = rows["id"].to_pylist()
            chosen = within([f"vocabulary:{self.settings.seed}:{name}" for name in ids], share)
            for row in rows.filter(pa.array(chosen & (ranks(ids, self.settings.seed) > last))).to_pylist():
                yield from map(targets.plain, (row["title"], row["abstract"], *row["keyphrases"]))


@dataclass
class Tokenise(Step):
    """Adds `sources` and `targets`, token numbers cut to size, and `whole`, how many both were before the cut."""

    data: str
    settings: GeneratorSettings
    name = "tokenise"

    def open(self) -> None:
        """Load the tokeniser."""
        self.tokenizer = open_tokenizer(Storage(self.data).local(TOKENIZER))
        self.separator = self.tokenizer.convert_tokens_to_ids(targets.SEPARATOR)

    def apply(self, rows: pa.Table) -> pa.Table:
        """Encode title and abstract, and the keyphrases."""
        texts = zip(rows["title"].to_pylist(), rows["abstract"].to_pylist(), strict=True)
        sources = encode(self.tokenizer, [targets.source_text(*pair) for pair in texts])
        wanted = encode(self.tokenizer, [targets.target_text(some) for some in rows["keyphrases"].to_pylist()])
        whole = [len(source) + len(target) for source, target in zip(sources, wanted, strict=True)]
        most, longest = self.settings.max_source, self.settings.max_target
        sources = [targets.fitted_source(tokens, most) for tokens in sources]
        wanted = [targets.fitted_target(tokens, longest, self.separator) for tokens in wanted]
        for name, lists in (("sources", sources), ("targets", wanted)):
            rows = rows.append_column(name, pa.array(lists, _TOKENS))
        return rows.append_column("whole", pa.array(whole, pa.int64()))


class Encode(OfEdition):
    """The training documents of a part as tokens."""

    name = "encode"

    def __init__(self, edition: str, data: str, settings: GeneratorSettings) -> None:
        self.edition, self.seed = edition, settings.seed
        self.steps = [Tokenise(data, settings)]

    def load(self, storage: Storage, part: str, payload: bytes) -> pa.Table:
        """The training documents of the part."""
        return _side(storage, part, self.seed, held_out=False)

    def write(self, storage: Storage, part: str, rows: pa.Table, refused: pa.Table) -> Completion:
        """Put their tokens into the build."""
        storage.put_table(_encoded(part), rows.select(["id", "sources", "targets"]))
        tokens = {name: len(rows[name].combine_chunks().flatten()) for name in ("sources", "targets")}
        facts = {
            "training": rows.num_rows,
            "source_tokens": tokens["sources"],
            "target_tokens": tokens["targets"],
            "tokens_cut_away": sum(rows["whole"].to_pylist()) - sum(tokens.values()),
            "languages": dict(sorted(Counter(rows["lang"].to_pylist()).items())),
        }
        return Completion(part, rows.num_rows, rows.num_rows, facts=facts)


@dataclass(frozen=True)
class WriteExamples:
    """The tokens of all parts as flat arrays, written as they come: `facts` say how long each will be."""

    seed: int
    parts: Sequence[str]
    facts: dict[str, Any]

    def __call__(self, storage: Storage) -> Completion:
        """Write them into the folder `examples`, and the held-out documents by id beside it."""
        held_out = pa.concat_tables([_side(storage, part, self.seed, held_out=True) for part in self.parts])
        held_out = held_out.sort_by("id")
        storage.put_table(VALIDATION, held_out)
        documents, row, digest = self.facts["training"], 0, hashlib.sha256()
        with storage.folder(EXAMPLES, whole=True) as place, whole_folder(place) as folder:
            names = ("source", "target")
            flat = {name: new_array(folder, f"{name}s", np.int32, self.facts[f"{name}_tokens"]) for name in names}
            offsets = {name: new_array(folder, f"{name}_offsets", np.int64, documents + 1) for name in names}
            with pa.OSFile(str(folder / "ids.arrow"), "wb") as file, pa.ipc.new_file(file, IDS) as ids:
                for part in self.parts:
                    rows = storage.table(_encoded(part))
                    ids.write_table(rows.select(["id"]).cast(IDS))
                    for name in names:
                        append(rows[f"{name}s"], flat[name], offsets[name], row)
                        digest.update(rows[f"{name}s"].combine_chunks().flatten().to_numpy().tobytes())
                    row += rows.num_rows
            for values in (*flat.values(), *offsets.values()):
                values.flush()
            describe(folder, KIND, {"sha256": digest.hexdigest()})
        return Completion("", documents, documents, facts={"validation": held_out.num_rows})


def _side(storage: Storage, part: str, seed: int, *, held_out: bool) -> pa.Table:
    rows = storage.table(_arranged(part))
    last = np.uint64(int(storage.get_json(_SPLIT)["last"]))
    return rows.filter(pa.array((ranks(rows["id"].to_pylist(), seed) <= last) == held_out))


def _arranged(part: str) -> str:
    return f"{BUILD}/arranged/{part}.parquet"


def _encoded(part: str) -> str:
    return f"{BUILD}/encoded/{part}.parquet"
