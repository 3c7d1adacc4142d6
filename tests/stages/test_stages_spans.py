"""Documents to vectors and span scores, step by step: the states of a tiny encoder whose tokens are letters."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from encoding.span_heads import random_head

from kartoteka.documents import DOCUMENT_SCHEMA, Refusal, quarantine_row, quarantine_table
from kartoteka.encoding.encoder import load_encoder
from kartoteka.encoding.settings import EncodingSettings
from kartoteka.encoding.spans import LONGEST, MISSING, SpanHead, Spans, read_head, write_head
from kartoteka.flow.ledger import Completion
from kartoteka.flow.stage import apply_steps
from kartoteka.ranking.directory import RankerFiles
from kartoteka.stages.embed import Encoding
from kartoteka.stages.spans import EncodeSpans, TokeniseWords, span_steps, spans_array, spans_of
from kartoteka.stages.suggest import trained_file, trained_of
from kartoteka.stages.trained import EncodeTrained
from kartoteka.storage import Storage

SEPARATOR = " | "
#: Letters and spaces alone, so that tokens can be counted; the last is longer than the 128 tokens that are read.
DOCUMENTS = [
    ("Sea robots", "robots walk over ice"),
    ("", "Only an abstract"),
    ("Only a title", ""),
    ("Теплообмен", "в активной зоне"),
    ("A long one", "many words stand here " * 12),
]


@pytest.fixture
def head(tmp_path: Path) -> Path:
    write_head(tmp_path / "spans.safetensors", random_head(32))
    return tmp_path / "spans.safetensors"


@pytest.fixture
def encoding(tiny_encoder: Path) -> Encoding:
    return Encoding(str(tiny_encoder), None, EncodingSettings(precision="fp32"))


def documents(some: list[tuple[str, str]] = DOCUMENTS) -> pa.Table:
    rows = [
        {"id": f"d{i}", "title": title, "abstract": abstract, "lang": "en", "keyphrases": [], "references": []}
        | {"source": "a:1", "extra": "{}", "year": None, "added": None}
        for i, (title, abstract) in enumerate(some)
    ]
    return pa.Table.from_pylist(rows, schema=DOCUMENT_SCHEMA)


def by_hand(title: str, abstract: str, model: Path, head: SpanHead) -> np.ndarray:
    """The scores of a document: its tokens are [CLS], letters, one for the bar of the separator, [SEP]."""
    encoder = load_encoder(str(model), precision="fp32")
    tokens = encoder.tokenise([f"{title}{SEPARATOR}{abstract}" if title and abstract else title or abstract])
    with torch.inference_mode():
        states = encoder._states(torch.from_numpy(tokens.ids.astype(np.int64)), tokens.lengths.tolist()).numpy()
    places, at = [], 1
    for number, text in enumerate((title, abstract)):
        at += 1 if number and title and abstract else 0
        for word in text.split():
            places.append((at, at + len(word) - 1))
            at += len(word)
    places = [(first, last) for first, last in places if last < min(127, len(states) - 1)]
    scores = np.full((len(places), LONGEST), MISSING)
    for s in range(len(places)):
        for k in range(min(LONGEST, len(places) - s)):
            first, last = states[places[s][0]], states[places[s + k][1]]
            scores[s, k] = np.clip(head.first[k] @ first + head.last[k] @ last + head.bias[k], -15, 15)
    return scores


def test_spans_are_those_of_the_words_whether_tokenised_apart_or_not(
    encoding: Encoding, tiny_encoder: Path, head: Path
) -> None:
    found = {}
    for gpus in (0.0, 1.0):
        steps = span_steps(encoding, SEPARATOR, head, gpus)
        assert [type(step) for step in steps] == ([TokeniseWords, EncodeSpans] if gpus else [EncodeSpans])
        if gpus:  # the same step without the device that it would hold
            steps[1] = EncodeSpans(encoding, SEPARATOR, head=head)
        for step in steps:
            step.open()
        found[gpus] = apply_steps(steps, documents())
    assert found[0.0].equals(found[1.0])
    rows = found[0.0]
    texts = [f"{t}{SEPARATOR}{a}" if t and a else t or a for t, a in DOCUMENTS]
    vectors = np.array(rows["vector"].to_pylist())
    np.testing.assert_allclose(vectors, encoding.load("cpu").encode(texts), atol=1e-3)
    spans = spans_of(rows["spans"])
    assert spans.scores.dtype == np.float16
    assert np.diff(spans.offsets).tolist()[:4] == [6, 3, 3, 4]
    assert 10 < np.diff(spans.offsets)[4] < 51
    for (title, abstract), (start, stop) in zip(DOCUMENTS, pairwise(spans.offsets), strict=True):
        wanted = by_hand(title, abstract, tiny_encoder, read_head(head))
        np.testing.assert_allclose(spans.scores[start:stop], wanted, atol=0.02)
    alone = apply_steps(steps[1:], steps[0].apply(documents()).slice(3, 1))
    np.testing.assert_allclose(spans_of(alone["spans"]).scores, spans.scores[12:16], atol=0.02)


def test_a_column_of_spans_is_read_as_it_was_written(tmp_path: Path) -> None:
    scores = np.random.default_rng(0).normal(size=(6, LONGEST)).astype(np.float32)
    column = spans_array(Spans(scores, np.array([0, 2, 2, 6])))
    storage = Storage(tmp_path)
    storage.put_table("a.parquet", pa.table({"spans": column.take(pa.array([2, None, 0]))}))
    read = spans_of(storage.table("a.parquet")["spans"])
    assert read.offsets.tolist() == [0, 4, 4, 6]
    np.testing.assert_array_equal(read.scores, scores[[2, 3, 4, 5, 0, 1]].astype(np.float16))
    assert spans_of(storage.table("a.parquet")["spans"].slice(0, 0)).scores.shape == (0, LONGEST)


def written(
    kept: list[int], tiny_encoder: Path, head: Path | None, folder: Path
) -> tuple[Completion, pa.Table, pa.Table]:
    """What a part is completed with, and its file, when the documents but those `kept` are refused; and their rows."""
    files = RankerFiles(folder, tiny_encoder, "abc", SEPARATOR, 16, None, None, head, "0" * 64 if head else None)
    stage, storage = EncodeTrained(files, EncodingSettings()), Storage(folder)
    storage.put_table("documents/part-0.parquet", documents())
    rows = stage.load(storage, "part-0", b"")
    for step in stage.steps:
        step.open()
    made = apply_steps(stage.steps, rows.take(pa.array(kept, pa.int64())))
    refused = [
        quarantine_row(Refusal("failed", "x"), stage="trained", source="a:1", record=b"{}", identity=f"d{row}")
        for row in range(rows.num_rows)
        if row not in kept
    ]
    return stage.write(storage, "part-0", made, quarantine_table(refused)), storage.table(trained_file("part-0")), made


@pytest.mark.parametrize("with_head", [True, False])
def test_a_part_keeps_spans_beside_vectors_and_a_refused_document_has_none(
    tiny_encoder: Path, head: Path, tmp_path: Path, with_head: bool
) -> None:
    completion, table, made = written([0, 1, 3, 4], tiny_encoder, head if with_head else None, tmp_path)
    assert (completion.rows_in, completion.rows_out) == (5, 4)
    assert table["id"].to_pylist() == [f"d{i}" for i in range(5)]
    assert table.column_names == (["id", "vector", "spans"] if with_head else ["id", "vector"])
    assert trained_of(table) is None
    trained = trained_of(table.rename_columns({"vector": "trained"}))
    assert trained.vectors.shape == (5, 32)
    assert not trained.vectors[2].any()
    if not with_head:
        assert trained.spans is None
        return
    own = spans_of(made["spans"])
    np.testing.assert_array_equal(trained.spans.scores, own.scores)
    words = np.diff(own.offsets).tolist()
    assert np.diff(trained.spans.offsets).tolist() == [*words[:2], 0, *words[2:]]


@pytest.mark.parametrize("with_head", [True, False])
def test_a_part_whose_documents_were_all_refused_has_neither_vectors_nor_spans(
    tiny_encoder: Path, head: Path, tmp_path: Path, with_head: bool
) -> None:
    completion, table, _ = written([], tiny_encoder, head if with_head else None, tmp_path)
    assert (completion.rows_in, completion.rows_out, completion.quarantined) == (5, 0, 5)
    trained = trained_of(table.rename_columns({"vector": "trained"}))
    np.testing.assert_array_equal(trained.vectors, np.zeros((5, 32)))
    assert (trained.spans is None) != with_head
    assert trained.spans is None or not np.diff(trained.spans.offsets).any()
