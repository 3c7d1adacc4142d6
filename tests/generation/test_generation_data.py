"""From an edition to flat tokens, and what is held out."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from generation.generation_worlds import SMALL, make_edition, record

from kartoteka.edition import BUILD
from kartoteka.generation import data, targets
from kartoteka.generation.data import open_examples, prepare
from kartoteka.generation.examples import EXAMPLES, Encode, ranks
from kartoteka.generation.vocabulary import encode
from kartoteka.ragged import pick
from kartoteka.storage import Storage
from kartoteka.training.task import data_of

pytestmark = pytest.mark.usefixtures("ray_session")


def learned(run: Storage) -> list[str]:
    return data.ids_of(run).to_pylist()


def test_every_annotated_document_is_learned_from_or_held_out(small_run):
    task, run = small_run
    ids, held_out = learned(run), data.held_out(run)["id"].to_pylist()
    assert sorted([*ids, *held_out]) == sorted(f"d{n}" for n in range(120) if n % 5)
    assert len(held_out) == 9  # a tenth of 96, less than the ten that were asked for
    assert data.facts_of(run)["training"] == task.examples(run) == len(ids)
    assert data.facts_of(run)["validation"] == 9
    assert not data_of(run).exists(BUILD)


def test_tokens_are_those_of_the_document(small_run):
    task, run = small_run
    examples, tokenizer = open_examples(data_of(run).uri), data.open_run_tokenizer(run)
    for number in (0, 17, task.examples(run) - 1):
        source = record(int(task.label(run, number)[1:]))
        text = targets.source_text(source["title"], source["abstract"])
        wanted = targets.ordered(source["title"], source["abstract"], source["keyphrases"], "en")
        assert wanted == source["keyphrases"][::-1]  # the present one first
        tokens, offsets = pick(examples.sources, examples.source_offsets, np.array([number]))
        assert tokens.tolist() == targets.fitted_source(encode(tokenizer, [text])[0], SMALL.max_source)
        assert offsets.tolist() == [0, len(tokens)]
        written, _ = pick(examples.targets, examples.target_offsets, np.array([number]))
        assert written.tolist() == encode(tokenizer, [targets.target_text(wanted)])[0]


def test_what_is_held_out_depends_on_the_ids_alone(tmp_path, small_run):
    """In another order, in other parts, one of them without a keyphrase."""
    _, run = small_run
    records = [record(n) for n in range(120)]
    bare, rest = [r for r in records if not r["keyphrases"]], [r for r in records[::-1] if r["keyphrases"]]
    other, seeded = Storage(tmp_path / "run"), SMALL.model_copy(update={"seed": 1})
    facts = prepare(Storage(make_edition(tmp_path / "edition", [*bare, *rest], part=12)), other, seeded)
    ids = np.array([r["id"] for r in rest])
    held_out = [sorted(ids[np.argsort(ranks(ids.tolist(), seed))[:9]]) for seed in (0, 1)]
    assert [data.held_out(some)["id"].to_pylist() for some in (run, other)] == held_out
    assert held_out[0] != held_out[1]
    assert learned(other) == [name for name in ids.tolist() if name not in held_out[1]]
    examples = open_examples(data_of(other).uri)
    assert examples.target_offsets[-1] == len(examples.targets) == facts["target_tokens"]


def test_data_that_are_there_are_kept_and_others_refused(tmp_path, small_run):
    task, made = small_run
    edition, run = Storage(task.edition), Storage(tmp_path)
    shutil.copytree(data_of(made).root, data_of(run).root)
    place = data_of(run).local(EXAMPLES)
    before = place.stat().st_ino
    assert prepare(edition, run, SMALL.model_copy(update={"label_smoothing": 0.0})) == data.facts_of(made)
    assert place.stat().st_ino == before
    with pytest.raises(ValueError, match="another configuration"):
        prepare(edition, run, SMALL.model_copy(update={"max_source": 16}))
    file = place / "targets.npy"
    file.write_bytes(file.read_bytes()[:-4])
    with pytest.raises(ValueError, match=r"targets\.npy is torn"):
        prepare(edition, run, SMALL)


@pytest.mark.slow
def test_what_was_interrupted_goes_on(tmp_path, small_run, monkeypatch):
    task, run = small_run
    again, edition = Storage(tmp_path), Storage(task.edition)

    def interrupted() -> dict[str, bytes]:
        """What is done when the examples are to be written."""
        with monkeypatch.context() as patch:
            patch.setattr(data, "WriteExamples", None)
            with pytest.raises(TypeError):
                prepare(edition, again, SMALL)
        return {name: build.get(name) for name in build.list(f"{BUILD}/done", ".json", recursive=True)}

    build = data_of(again)
    before = interrupted()
    first, *others = [name for name in before if f"/{Encode.name}/" in name]
    assert len(others) == 2
    build.delete(first)
    after = interrupted()
    assert {name for name in before if after[name] != before[name]} == {first}  # a completion says when
    assert prepare(edition, again, SMALL) == data.facts_of(run)


def test_too_little_to_learn_from(tmp_path):
    bare = [record(5), record(10)]  # both without keyphrases
    for records, message in ((bare, "no document with keyphrases"), ([*bare, record(1)], "only 1 document")):
        name = message.replace(" ", "-")
        edition, run = Storage(make_edition(tmp_path / name, records)), Storage(tmp_path / f"run-{name}")
        with pytest.raises(ValueError, match=message):
            prepare(edition, run, SMALL)
        assert not data_of(run).exists(EXAMPLES)
    with pytest.raises(ValueError, match="has no documents"):
        prepare(Storage(tmp_path / "absent"), Storage(tmp_path / "run"), SMALL)


def test_two_documents_and_an_endless_phrase(tmp_path):
    endless = record(1) | {"keyphrases": ["x" * 10_000, "graph theory", "graph theory"]}
    edition = Storage(make_edition(tmp_path / "edition", [endless, record(2)]))
    run = Storage(tmp_path / "run")
    facts = prepare(edition, run, SMALL.model_copy(update={"max_source": 8}))
    assert (facts["training"], facts["validation"]) == (1, 1)
    assert np.diff(open_examples(data_of(run).uri).source_offsets).tolist() == [8]
    assert facts["tokens_cut_away"] > 0
    assert np.diff(open_examples(data_of(run).uri).target_offsets).max() <= SMALL.max_target
