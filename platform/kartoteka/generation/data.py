"""Training data of the generator: the annotated documents of an edition as flat token arrays, memory-mapped.

DATA/
  tokenizer/           that of the base, or one learned from the training documents
  examples/            arrays, and the ids of their documents
  validation.parquet   what is held out
  manifest.json        what it was made from, and what came of it; written last
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from rich.console import Console

from kartoteka.edition import BUILD, MANIFEST, parts_of
from kartoteka.flow.build import Build, rows_out, total_facts
from kartoteka.folders import description, mapped_ids, open_arrays
from kartoteka.generation.base import resolve_base
from kartoteka.generation.examples import (
    EXAMPLES,
    KIND,
    TOKENIZER,
    VALIDATION,
    Arrange,
    Encode,
    LearnVocabulary,
    WriteExamples,
)
from kartoteka.generation.settings import GeneratorSettings
from kartoteka.generation.vocabulary import open_tokenizer
from kartoteka.storage import Storage
from kartoteka.training.task import data_of


class Examples(NamedTuple):
    """The tokens int32 of n training documents, one after the other, and where each begins, int64 [n + 1]."""

    sources: np.ndarray
    source_offsets: np.ndarray
    targets: np.ndarray
    target_offsets: np.ndarray


@lru_cache(maxsize=2)
def open_examples(data: str) -> Examples:
    """Map what `prepare` wrote in the folder `data`. Raises `ValueError` naming the file that is missing or torn."""
    return open_arrays(Storage(data).local(EXAMPLES), KIND, Examples)


def ids_of(run: Storage) -> pa.ChunkedArray:
    """The ids of the training documents."""
    return mapped_ids(data_of(run).local(EXAMPLES) / "ids.arrow")


def held_out(run: Storage) -> pa.Table:
    """The documents that are held out, by id (see `examples.SCHEMA`)."""
    return data_of(run).table(VALIDATION)


def open_run_tokenizer(run: Storage) -> Any:
    """The tokeniser that `prepare` left in the run."""
    return open_tokenizer(data_of(run).local(TOKENIZER))


def facts_of(run: Storage) -> dict[str, Any]:
    """What `prepare` returned when it made the data of the run."""
    return data_of(run).get_json(MANIFEST)["facts"]


def prepare(edition: Storage, run: Storage, settings: GeneratorSettings) -> dict[str, Any]:
    """Make tokeniser, examples and held-out documents below `data/` of the run; what is there already is kept.

    Returns counts, and a hash of the examples. Raises `ValueError`: nothing to learn from; a base that is no BART;
    `data/` was made from something else.
    """
    parts, data = parts_of(edition), data_of(run)
    build = Build(data, _plan(edition, parts, settings), Console(highlight=False))
    if build.is_complete():
        description(data.local(EXAMPLES), KIND)
    else:
        with build.locked():
            arranged = rows_out(build.run(Arrange(edition.whole()), dict.fromkeys(parts)))
            annotated = {part: rows for part, rows in arranged.items() if rows}
            _check_enough(edition, data, sum(annotated.values()))
            learned = build.run_tasks("vocabulary", {"all": LearnVocabulary(settings, annotated)})
            facts = total_facts(build.run(Encode(edition.whole(), data.whole(), settings), dict.fromkeys(annotated)))
            made = build.run_tasks("examples", {"all": WriteExamples(settings.seed, list(annotated), facts)})
        facts |= learned["all"].facts | made["all"].facts | {"annotated": sum(annotated.values())}
        facts["sha256"] = description(data.local(EXAMPLES), KIND)["sha256"]
        data.put_json(MANIFEST, {"plan": build.plan, "plan_hash": build.plan_hash, "facts": facts})
    data.delete(BUILD)
    return facts_of(run)


def _plan(edition: Storage, parts: list[str], settings: GeneratorSettings) -> dict[str, Any]:
    """What decides the data."""
    files = [edition.path(f"documents/{part}.parquet") for part in parts]
    sizes = [info.size for info in edition.fs.get_file_info(files)]
    kept = settings.model_dump(exclude={"label_smoothing", "decoding", "layers", "width", "heads", "dropout"})
    if settings.base is not None:
        kept["base"] = resolve_base(settings.base, settings.revision).sha256
    listed = hashlib.sha256(repr(list(zip(parts, sizes, strict=True))).encode()).hexdigest()
    return {"edition": edition.uri, "files": listed, "generator": kept}


def _check_enough(edition: Storage, data: Storage, count: int) -> None:
    if count < 2:
        data.delete(BUILD)  # so that another edition can be tried in the same place
        found = f"only {count} document" if count else "no document"
        raise ValueError(
            f"edition: {edition.uri} has {found} with keyphrases: one to learn from and one to hold out are needed"
        )
