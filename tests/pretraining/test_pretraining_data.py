"""Which texts are learned from, and what is wrong with a user's."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
from pretraining.pretraining_worlds import TINY, prepared
from sentiment.sentiment_worlds import opinion, write
from transformers import AutoTokenizer

from kartoteka.pretraining import data
from kartoteka.pretraining.task import MlmTask
from kartoteka.sentiment.texts import held_out, side_keys
from kartoteka.storage import Storage


def test_labels_say_nothing_and_copies_count_once(tmp_path):
    rows = [opinion(n) for n in range(40)]
    rows += [opinion(n) | {"label": "joy", "id": f"c{n}"} for n in range(5)] + [{"text": " "}]
    rows += [opinion(99) | {"split": "test"}]
    task = MlmTask((write(tmp_path / "texts.jsonl", rows),), None, TINY)
    run = Storage(tmp_path / "run")
    facts = task.prepare(run)
    assert (facts["rows"], facts["training"] + facts["validation"]) == (45, 40)
    corpus = data.corpus_of(run)
    texts = [opinion(n)["text"] for n in range(40)]
    assert np.array_equal(corpus.validation, held_out(side_keys(texts), TINY.validation_share, "mlm:0"))
    tokenizer = AutoTokenizer.from_pretrained(run.local(data.START))
    assert tokenizer(texts[7])["input_ids"][:24] == corpus.tokens[slice(*corpus.offsets[7:9])].tolist()
    assert corpus.vocabulary.mask == tokenizer.mask_token_id
    assert task.label(run, 0) == f"t{int(np.flatnonzero(~corpus.validation)[0])}"
    assert task.prepare(run) == facts


def test_the_same_data_in_every_process(tmp_path):
    facts = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        task, run = prepared(tmp_path / name)
        facts.append(data.facts_of(run))
    assert facts[0] == facts[1]
    assert pickle.loads(pickle.dumps(task)) == task
    assert task.files[0] not in json.dumps(task.card(run))


def test_what_is_wrong_is_said(tiny_encoder, tmp_path):
    run = Storage(tmp_path / "run")
    fine = write(tmp_path / "fine.jsonl", [opinion(n) for n in range(20)])
    for file, encoder, settings, message in (
        (write(tmp_path / "empty.jsonl", []), None, TINY, "is empty"),
        (write(tmp_path / "equal.jsonl", [opinion(1)] * 3), None, TINY, "all 3 texts are equal"),
        (write(tmp_path / "blank.jsonl", [{"text": ""}] * 3), None, TINY, "no text in"),
        (
            write(tmp_path / "alike.jsonl", [{"text": "a b c d e f g h " + end} for end in "ij"]),
            None, TINY, "all begin alike",
        ),
        (fine, "./absent", TINY, "there is no directory"),
        (fine, str(tiny_encoder), TINY, "has no mask"),
        (fine, str(tiny_encoder), TINY.model_copy(update={"max_tokens": 500}), "mlm.max_tokens: .* reads 128"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            MlmTask((file,), encoder, settings).prepare(run)
