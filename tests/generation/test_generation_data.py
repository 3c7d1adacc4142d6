"""From an edition to flat tokens, and what is held out."""

from __future__ import annotations

import numpy as np
import pytest
from generation.generation_worlds import SMALL, make_edition, record

from kartoteka.generation import data, targets
from kartoteka.generation.data import Examples, prepare
from kartoteka.generation.vocabulary import encode
from kartoteka.storage import Storage


def test_every_annotated_document_is_learned_from_or_held_out(small_run):
    task, run = small_run
    ids = Examples.open(run.local(data.EXAMPLES)).ids.to_pylist()
    held_out = run.table(data.VALIDATION)["id"].to_pylist()
    assert sorted([*ids, *held_out]) == sorted(f"d{n}" for n in range(120) if n % 5)
    assert len(held_out) == 9  # a tenth of 96, less than the ten that were asked for
    assert task.prepare(run) == data.facts_of(run)
    assert data.facts_of(run)["training"] == task.examples(run) == len(ids)


def test_tokens_are_those_of_the_document(small_run):
    task, run = small_run
    examples, tokenizer = Examples.open(run.local(data.EXAMPLES)), data.open_run_tokenizer(run)
    for number in (0, 17, len(examples) - 1):
        source = record(int(task.label(run, number)[1:]))
        text = targets.source_text(source["title"], source["abstract"])
        wanted = targets.ordered(source["title"], source["abstract"], source["keyphrases"], "en")
        assert wanted == source["keyphrases"][::-1]  # the present one first
        tokens, offsets = examples.sources.take(np.array([number]))
        assert tokens.tolist() == targets.fitted_source(encode(tokenizer, [text])[0], SMALL.max_source)
        assert offsets.tolist() == [0, len(tokens)]
        assert (
            examples.targets.take(np.array([number]))[0].tolist() == encode(tokenizer, [targets.target_text(wanted)])[0]
        )


def test_what_is_held_out_depends_on_the_ids_alone(tmp_path, small_run):
    task, run = small_run
    records = [record(n) for n in range(120)]
    other = Storage(tmp_path / "run")
    prepare(Storage(make_edition(tmp_path / "edition", records[::-1], part=7)), other, SMALL)
    assert other.table(data.VALIDATION) == run.table(data.VALIDATION)
    elsewhere = Storage(tmp_path / "other")
    prepare(Storage(task.edition), elsewhere, SMALL.model_copy(update={"seed": 1}))
    assert elsewhere.table(data.VALIDATION)["id"] != run.table(data.VALIDATION)["id"]


def test_another_plan_makes_the_data_anew(tmp_path, small_run):
    task, _ = small_run
    run, edition = Storage(tmp_path), Storage(task.edition)
    facts = prepare(edition, run, SMALL)
    place = run.local(data.EXAMPLES)
    before = place.stat().st_ino
    assert prepare(edition, run, SMALL.model_copy(update={"label_smoothing": 0.0})) == facts
    assert place.stat().st_ino == before
    shorter = prepare(edition, run, SMALL.model_copy(update={"max_source": 16}))
    assert shorter["source_tokens"] < facts["source_tokens"]
    assert shorter["tokens_cut_away"] > facts["tokens_cut_away"]


def test_a_torn_file_is_named(tmp_path, small_run):
    task, _ = small_run
    run = Storage(tmp_path)
    prepare(Storage(task.edition), run, SMALL)
    file = run.local(data.EXAMPLES) / "targets.int32"
    file.write_bytes(file.read_bytes()[:-4])
    with pytest.raises(ValueError, match=r"targets\.int32 is torn"):
        prepare(Storage(task.edition), run, SMALL)


def test_too_little_to_learn_from(tmp_path):
    run = Storage(tmp_path / "run")
    bare = [record(5), record(10)]  # both without keyphrases
    for records, message in ((bare, "no document with keyphrases"), ([*bare, record(1)], "only 1 document")):
        edition = Storage(make_edition(tmp_path / message.replace(" ", "-"), records))
        with pytest.raises(ValueError, match=message):
            prepare(edition, run, SMALL)
    with pytest.raises(ValueError, match="has no documents"):
        prepare(Storage(tmp_path / "absent"), run, SMALL)
    assert not run.exists(data.EXAMPLES)


def test_two_documents_and_an_endless_phrase(tmp_path):
    endless = record(1) | {"keyphrases": ["x" * 10_000, "graph theory", "graph theory"]}
    edition = Storage(make_edition(tmp_path / "edition", [endless, record(2)]))
    run = Storage(tmp_path / "run")
    facts = prepare(edition, run, SMALL)
    assert (facts["training"], facts["validation"]) == (1, 1)
    longest = Examples.open(run.local(data.EXAMPLES)).targets.lengths(np.arange(1))
    assert longest.max() <= SMALL.max_target
