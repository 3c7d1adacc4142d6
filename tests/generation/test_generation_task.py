"""A tiny generator learns, is measured, exported, opened again, and writes."""

from __future__ import annotations

import pickle

import numpy as np
import pyarrow as pa
import pytest
import torch
from generation.generation_worlds import SMALL, TOPICS, record
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

from kartoteka.documents import KEYPHRASES_SCHEMA
from kartoteka.generation import data
from kartoteka.generation.generate import Generator
from kartoteka.generation.validation import FIGURES, measure
from kartoteka.training.modelcard import text_of
from kartoteka.training.task import Share


@pytest.fixture(scope="module")
def trained(small_run, tmp_path_factory):
    """(task, run, module, directory) after some plain steps over the whole of the data."""
    task, run = small_run
    module = task.build(run)
    optimizer = torch.optim.AdamW(module.parameters(), lr=4e-3)
    rng = np.random.default_rng(0)
    module.train()
    for _ in range(150):
        numbers = rng.choice(task.examples(run), 32, replace=False)
        made = task.collate(run, numbers, Share(0, 1, 0))
        loss, _ = module({name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in made.items()})
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    module.eval()
    folder = tmp_path_factory.mktemp("generator")
    task.export(run, module, folder)
    return task, run, module, folder


def validated(task, run, module, world=1):
    parts = [task.validate(run, module, Share(rank, world, 0)) for rank in range(world)]
    return {name: tuple(np.sum([part[name] for part in parts], axis=0)) for name in parts[0]}


def test_it_learns(trained, small_run):
    task, run, module, _ = trained
    untrained = validated(task, run, task.build(run).eval())
    learned = validated(task, run, module)
    assert set(learned) == set(FIGURES.values())
    assert learned[task.metric][1] == 9
    assert learned[task.metric][0] > untrained[task.metric][0]
    total, count = learned["present_f1_at_o"]
    assert total / count > 0.5  # the topic of the title is written


def test_a_task_travels_and_its_data_stays(trained):
    task, run, *_ = trained
    task.examples(run)
    again = pickle.loads(pickle.dumps(task))
    assert again == task
    assert len(pickle.dumps(task)) < 2000
    assert again.label(run, 3) == task.label(run, 3)


@pytest.mark.parametrize("world", [2, 7, 11])
def test_each_document_is_measured_once_however_many_workers(trained, world):
    task, run, module, _ = trained
    alone, shared = validated(task, run, module), validated(task, run, module, world)
    for name, part in alone.items():
        assert shared[name] == pytest.approx(part)


def test_what_is_found_is_measured_as_the_evaluation_does():
    rows = [record(n) for n in range(1, 8)]
    rows = [row | {"keyphrases": row["keyphrases"] or ["graph theory"]} for row in rows]
    documents = pa.Table.from_pylist(rows).select(["title", "abstract", "lang", "keyphrases"])
    parts = measure(documents, [row["keyphrases"] for row in rows])
    assert parts["f1_at_m"] == (7.0, 7.0)
    assert parts["f1_at_o"] == (7.0, 7.0)
    assert parts["unseen_recall_at_o"][0] == parts["unseen_recall_at_o"][1]
    assert measure(documents.slice(0, 0), []) == dict.fromkeys(FIGURES.values(), (0.0, 0.0))


def test_the_export_is_a_plain_transformers_directory(trained):
    _, _, module, folder = trained
    model = AutoModelForSeq2SeqLM.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert not list(folder.glob("*.bin"))
    own = module.model.state_dict()
    assert all(torch.equal(tensor, own[name]) for name, tensor in model.state_dict().items())
    row = record(1)
    text = f"{row['title']}<s>{row['abstract']}"
    written = model.generate(**tokenizer(text, return_tensors="pt", truncation=True))
    phrases = tokenizer.decode(written[0]).split("</s>")[1].replace("<s>", "").split("<SEP>")
    suggested = Generator.open(str(folder)).suggest(pa.Table.from_pylist([row]))["keyphrases"][0].as_py()
    assert [phrase["phrase"] for phrase in suggested] == list(dict.fromkeys(p.strip() for p in phrases))


def test_suggestions_are_a_table_of_keyphrases(trained):
    *_, folder = trained
    documents = pa.Table.from_pylist([record(n) for n in range(11)])
    found = Generator.open(str(folder), batch=3).suggest(documents)
    assert found.schema == KEYPHRASES_SCHEMA
    assert found["id"].to_pylist() == documents["id"].to_pylist()
    for row, phrases in zip(documents.to_pylist(), found["keyphrases"].to_pylist(), strict=True):
        scores = [phrase["score"] for phrase in phrases]
        assert scores == sorted(scores, reverse=True)
        assert all(0 <= score <= 1 for score in scores)
        assert {tuple(phrase["origins"]) for phrase in phrases} <= {("generated",)}
        for phrase in phrases:
            if phrase["phrase"] in TOPICS:
                assert (phrase["category"] == "present") == (phrase["phrase"] in row["title"])


def test_a_document_gets_the_same_whoever_is_beside_it(trained):
    *_, folder = trained
    documents = pa.Table.from_pylist([record(n) for n in range(11)])
    together = Generator.open(str(folder), batch=11).suggest(documents)["keyphrases"].to_pylist()
    alone = Generator.open(str(folder), batch=1).suggest(documents)["keyphrases"].to_pylist()
    for one, other in zip(together, alone, strict=True):
        assert [p["phrase"] for p in one] == [p["phrase"] for p in other]
        assert [p["score"] for p in one] == pytest.approx([p["score"] for p in other], rel=1e-4)


def test_the_score_is_the_mean_probability_of_the_sequence(trained):
    *_, folder = trained
    for beam in (1, 3):
        generator = Generator.open(str(folder), search={"beam": beam})
        model, tokenizer = generator.writer.model, generator.writer.tokenizer
        row = record(2)
        inputs = tokenizer(f"{row['title']}<s>{row['abstract'].strip()}", return_tensors="pt")
        written = model.generate(**inputs)
        logits = model(**inputs, decoder_input_ids=written[:, :-1]).logits.log_softmax(-1)
        mean = logits.gather(2, written[:, 1:, None]).mean().exp().item()
        suggested = generator.suggest(pa.Table.from_pylist([row]))["keyphrases"][0].as_py()
        assert suggested[0]["score"] == pytest.approx(mean, rel=1e-4)


def test_more_sequences_give_more_phrases_and_keep_the_best_first(trained):
    *_, folder = trained
    documents = pa.Table.from_pylist([record(n) for n in range(6)])
    few = Generator.open(str(folder), search={"beam": 6}).suggest(documents)["keyphrases"].to_pylist()
    many = Generator.open(str(folder), search={"beam": 6, "sequences": 6}).suggest(documents)["keyphrases"].to_pylist()
    assert sum(map(len, many)) > sum(map(len, few))
    for one, other in zip(few, many, strict=True):
        assert [p["phrase"] for p in one] == [p["phrase"] for p in other[: len(one)]]


def test_what_is_no_generator(trained, tiny_encoder, tmp_path):
    _, _, module, folder = trained
    with pytest.raises(ValueError, match="not bart"):
        Generator.open(str(tiny_encoder))
    with pytest.raises(ValueError, match="cannot come from a beam of 1"):
        Generator.open(str(folder), search={"beam": 1, "sequences": 2})
    with pytest.raises(ValueError, match="device: cannot use"):
        Generator.open(str(folder), "nonsense")
    module.model.save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(tiny_encoder).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="knows no <SEP>"):
        Generator.open(str(tmp_path))


def test_the_card_says_what_a_stranger_must_know(trained):
    task, run, *_ = trained
    about = {
        "best": {"step": 1, "f1_at_m": 0.5}, "steps": 2, "seconds": 1.0, "workers": 1, "device": "cpu",
        "cpu_seconds": 1.0, "energy_wh": 0.1, "energy_how": "made up", "command": "kartoteka train generator",
        "task": {}, "training": {}, "data": data.facts_of(run),
    }  # fmt: skip
    text = text_of(task.card(run), about)
    assert "language: [en]" in text
    assert "not calibrated" in text
    assert f"{SMALL.max_source} tokens of title and abstract" in text
