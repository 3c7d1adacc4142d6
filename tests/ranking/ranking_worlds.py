"""A small edition on disk, without a cluster: documents, archive, lexical index and, if wanted, vectors."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from keyphrases.keyphrase_worlds import build_archive, record, table, wordless

from kartoteka.encoding.models import resolve_model
from kartoteka.encoding.spans import LONGEST, SpanHead
from kartoteka.encoding.transformer import load_transformer
from kartoteka.keyphrases.annotated import is_annotated
from kartoteka.keyphrases.dense import write_vectors
from kartoteka.keyphrases.hashing import hash_words
from kartoteka.keyphrases.ranker import fit_ranker
from kartoteka.keyphrases.settings import KeyphraseSettings
from kartoteka.lexical.shard import build_shard
from kartoteka.lexical.statistics import count_part, merge
from kartoteka.ranking.directory import PLAIN_ENCODER, write_ranker
from kartoteka.ranking.settings import RankerSettings, StudentSettings
from kartoteka.ranking.student import write_student
from kartoteka.text.words import content_stems

SUBJECTS = ["neural network", "reactor core", "query expansion", "library catalogue", "graph theory", "speech signal"]
METHODS = ["training", "simulation", "evaluation", "survey", "optimisation", "measurement", "prediction"]


FIELDS = [f"{a} {b}" for a in ("medical", "urban", "marine", "rural") for b in ("imaging", "planning", "transport")]


def papers(count: int) -> list[dict]:
    """Annotated records about a few subjects; what a record carries can be read from its text."""
    random = np.random.default_rng(7)
    rows = []
    for number in range(count):
        subject, method, field, other = (str(random.choice(some)) for some in (SUBJECTS, METHODS, FIELDS, SUBJECTS))
        text = f"We study the {method} of a {subject} for {field}, and not {other}. Case {chr(97 + number % 26)}."
        rows.append(record(number, f"{method} of {subject}", text, [subject, method, field]))
    return rows


def build_edition(records: list[dict], folder: Path, cuts: tuple[int, ...] = (), width: int = 0) -> Path:
    """An edition of `records` in parts cut at `cuts`; with random vectors of `width` numbers if it is not 0."""
    bounds = [0, *cuts, len(records)]
    (folder / "documents").mkdir(parents=True)
    for part, (start, stop) in enumerate(pairwise(bounds)):
        pq.write_table(table(records[start:stop]), folder / "documents" / f"part-00000-{part:06d}.parquet")
    archive = build_archive(records, folder / "ranker" / "archive", cuts)
    stems = [
        content_stems(f"{r['title']}\n{r['abstract']}", r["lang"]) for r in records if is_annotated(r["keyphrases"])
    ]
    build_shard(stems, merge([count_part(stems)]), folder / "lexical" / "shard-0000")
    if width:
        random = np.random.default_rng(1)
        blocks = [random.normal(size=(n, width)).astype(np.float32) for n in (archive.documents, archive.phrases)]
        blocks = [block / np.linalg.norm(block, axis=1, keepdims=True) for block in blocks]
        write_vectors(folder / "ranker" / "archive", archive, width, iter(blocks[:1]), iter(blocks[1:]))
    return folder


def made_fusion(seed: int) -> bytes:
    """A fusion of two features, fitted to noise."""
    rows = np.random.default_rng(seed).normal(size=(900, 2)).astype(np.float32)
    settings = KeyphraseSettings(rounds=2)
    fitted = fit_ranker(rows, rows[:, 0] > 1, np.arange(0, 901, 9), ["one", "other"], settings, wordless(900))
    return fitted.ranker.to_bytes()


def make_ranker(
    folder: Path, encoder: Path, settings: RankerSettings, seen: Sequence[str], *, tokens: int = 64, seed: int | None
) -> Path:
    """The directory of a ranker that has learned nothing, has `seen` documents and reads `tokens` of a text.

    With a `seed` it has a head, which says something, but nothing sensible.
    """
    student, model = folder / "of-model", folder / "model"
    student.mkdir(parents=True)
    model.mkdir()
    write_student(resolve_model(str(encoder)), student, StudentSettings(), tokens)
    transformer, head = load_transformer(resolve_model(str(student))), None
    if seed is not None:
        random, width = np.random.default_rng(seed), transformer.config.hidden_size
        shapes = [(LONGEST, width), (LONGEST, width), (LONGEST,)]
        head = SpanHead(*(random.normal(size=shape).astype(np.float32) for shape in shapes))
    hashes = np.sort(hash_words(list(seen))) if seen else np.zeros(0, np.uint64)
    write_ranker(model, transformer, student, settings, hashes, {"data": {"training": len(seen)}}, head)
    (model / "README.md").write_text(f"# card\n\nA ranker; {PLAIN_ENCODER}.\n")
    return model
