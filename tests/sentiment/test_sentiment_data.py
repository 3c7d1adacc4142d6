"""Who is learned from and who is held out; gold and pseudo-labels as one training set."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from sentiment.sentiment_worlds import SMALL, opinion, write

from kartoteka.sentiment import data
from kartoteka.sentiment.mixture import mix, of_gold
from kartoteka.sentiment.pseudolabels import Pseudolabels
from kartoteka.sentiment.texts import CLASSES, Texts, read_texts, side_keys
from kartoteka.storage import Storage


def test_every_labelled_text_is_learned_from_or_held_out(small_run):
    task, run = small_run
    examples, facts = data.examples_of(run), data.facts_of(run)
    assert facts["training"] + facts["validation"] == 150 == len(examples.label)
    assert facts["validation"] == examples.validation.sum() == 30
    assert facts["unlabelled"] == 30
    by_name = dict(zip(data.names_of(run), examples.label.tolist(), strict=True))
    assert all(CLASSES[label] == opinion(int(name[1:]))["label"] for name, label in by_name.items())
    held = run.table(data.VALIDATION)
    assert held["id"].to_pylist() == [n for n, out in zip(data.names_of(run), examples.validation, strict=True) if out]
    assert task.prepare(run) == facts
    assert (run.local(data.START) / "config.json").exists()


def test_another_loss_keeps_the_data_and_another_length_makes_them_anew(small_run, tmp_path):
    task, _ = small_run
    run = Storage(tmp_path)
    facts = data.prepare(run, task.files, None, None, SMALL)
    before = run.local(data.EXAMPLES).stat().st_ino
    assert data.prepare(run, task.files, None, None, SMALL.model_copy(update={"metric_weight": 1.0})) == facts
    assert run.local(data.EXAMPLES).stat().st_ino == before
    shorter = data.prepare(run, task.files, None, None, SMALL.model_copy(update={"max_tokens": 8}))
    assert shorter["texts_cut"] > facts["texts_cut"]


def test_a_validation_split_of_the_data_is_taken_and_its_like_left_out(tmp_path):
    rows = [opinion(n) for n in range(60)]
    for row in rows[:6]:
        row["split"] = "validation"
    rows.append({"id": "twin", "text": rows[0]["text"] + " !!!", "label": rows[0]["label"]})
    run = Storage(tmp_path / "run")
    data.prepare(run, (write(tmp_path / "a.jsonl", rows),), None, None, SMALL)
    held = [n for n, out in zip(data.names_of(run), data.examples_of(run).validation, strict=True) if out]
    assert held == [*(f"t{n}" for n in range(6)), "twin"]


def test_a_class_without_a_text_is_named_with_what_was_refused(tmp_path):
    rows = [opinion(n) for n in range(90) if n % 3] + [opinion(n, "speech") for n in range(0, 90, 3)]
    with pytest.raises(ValueError, match=r"no text of class `negative` .* 30 rows: label `speech` is no class"):
        data.prepare(Storage(tmp_path / "run"), (write(tmp_path / "a.jsonl", rows),), None, None, SMALL)
    mapped = SMALL.model_copy(update={"labels": {"speech": "negative"}})
    assert data.prepare(Storage(tmp_path / "run"), (str(tmp_path / "a.jsonl"),), None, None, mapped)["refused"] == {}
    none = [{"text": f"текст {n}"} for n in range(5)]
    with pytest.raises(ValueError, match="no text of class `negative`"):
        data.prepare(Storage(tmp_path / "other"), (write(tmp_path / "b.jsonl", none),), None, None, SMALL)


def test_an_epoch_visits_every_class_equally_often(small_run):
    examples = data.examples_of(small_run[1])._replace(label=np.array([0] * 100 + [1] * 40 + [2] * 10, np.int8))
    rows = data.visits(examples, balanced=True)
    counts = np.bincount(examples.label[rows])
    assert len(set(counts.tolist())) == 1
    assert set(rows.tolist()) == set(data.visits(examples, balanced=False).tolist())
    assert not examples.validation[rows].any()


def found_of(rows: list[tuple[str, str, bool, int, int]]) -> Pseudolabels:
    ids, texts, believed, clusters, labels = zip(*rows, strict=True)
    label = np.array(labels, np.int8)
    shares = np.full((len(rows), 3), 0.2, np.float32)
    shares[np.arange(len(rows)), label] = 0.6
    return Pseudolabels(list(ids), list(texts), label, np.array(believed), np.array(clusters, np.int32), label, shares)


def test_pseudo_labels_never_touch_gold_and_never_near_validation():
    gold = Texts(
        ["g0", "g1", "v"], ["плохо было", "как хорошо", "номер дома на улице"], [0, 2, 1], [""] * 3, [False] * 3
    )
    found = found_of(
        [
            ("a", "ПЛОХО БЫЛО", True, 7, 2),  # a copy of gold: its label stays, its cluster is known now
            ("b", "Номер дома на улице!", True, 1, 1),  # begins like the validation text
            ("c", "совсем плохо", True, 3, 0),
            ("d", "совсем хорошо", False, 4, 2),  # not believed
            ("e", "Совсем плохо", True, 3, 0),  # a copy of c
        ]
    )
    mixture = mix(of_gold(gold, np.array([False, False, True])), found, share=5.0, soft=False)
    assert mixture.ids == ["g0", "g1", "v", "c"]
    assert mixture.label.tolist() == [0, 2, 1, 0]
    assert mixture.pseudo.tolist() == [False, False, False, True]
    assert mixture.cluster.tolist() == [7, -1, -1, 3]
    assert mixture.dominant.tolist() == [2, 2, 1, 0]
    assert np.array_equal(mixture.target, np.eye(3)[[0, 2, 1, 0]])
    soft = mix(of_gold(gold, np.array([False, False, True])), found, share=5.0, soft=True)
    assert np.array_equal(soft.target[:3], mixture.target[:3])
    assert soft.target[3] == pytest.approx([0.6, 0.2, 0.2])


def test_a_class_takes_its_share_of_pseudo_labels_at_most():
    gold = Texts(["g", "h"], ["один текст", "другой текст"], [0, 1], ["", ""], [False, False])
    found = found_of([(str(n), f"разное {n}", True, 0, n % 2) for n in range(20)])
    mixture = mix(of_gold(gold, np.zeros(2, bool)), found, share=3.0, soft=False)
    assert np.bincount(mixture.label[mixture.pseudo]).tolist() == [3, 3]


def test_the_final_step_learns_from_both(tmp_path, small_run):
    from kartoteka.sentiment.pseudolabels import PseudolabelSettings, pseudolabel

    task, _ = small_run
    texts = read_texts([task.files[0]], {})
    probabilities = np.full((len(texts), 3), 0.05)
    probabilities[np.arange(len(texts)), [int(name[1:]) % 3 for name in texts.ids]] = 0.9
    clusters = np.array([int(name[1:]) % 3 for name in texts.ids], np.int32)
    table, _ = pseudolabel(texts, probabilities, clusters, 3, PseudolabelSettings())
    Storage(tmp_path).put_table("pseudo.parquet", table)
    facts = data.prepare(Storage(tmp_path / "run"), task.files, None, str(tmp_path / "pseudo.parquet"), SMALL)
    assert facts["pseudolabelled"] + len(_near_validation(small_run[1], texts)) == 30
    examples = data.examples_of(Storage(tmp_path / "run"))
    assert np.array_equal(examples.cluster, examples.label)
    with pytest.raises(ValueError, match=r"pseudolabels: .* cannot be read"):
        data.prepare(Storage(tmp_path / "run"), task.files, None, task.files[0], SMALL)
    wrong = table.set_column(3, "label", pa.array(["joy"] * len(table)))
    Storage(tmp_path).put_table("wrong.parquet", wrong)
    with pytest.raises(ValueError, match="holds the label 'joy', which is no class"):
        data.prepare(Storage(tmp_path / "run"), task.files, None, str(tmp_path / "wrong.parquet"), SMALL)


def _near_validation(run: Storage, texts: Texts) -> list[str]:
    held = side_keys(run.table(data.VALIDATION)["text"].to_pylist())
    bare = [text for text, label in zip(texts.texts, texts.labels, strict=True) if label < 0]
    return [text for text, side in zip(bare, side_keys(bare), strict=True) if side in held]
