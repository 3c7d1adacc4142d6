"""The classifier that ships: whole, small, found by its name, and right about what anyone is sure of."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import kartoteka.sentiment
from kartoteka.sentiment.classify import DEFAULT_CLASSIFIER, identity_of, open_classifier
from kartoteka.sentiment.texts import CLASSES

FOLDER = Path(kartoteka.sentiment.__file__).with_name("default")
CLEAR = {
    "negative": (
        "Ужасно расстроен, всё плохо",
        "Мне очень грустно и одиноко",
        "Я так боюсь завтрашнего экзамена",
        "Отвратительный сервис, больше никогда сюда не приду",
        ":(",
    ),
    "neutral": (
        "Заседание комитета состоится во вторник в 15 часов",
        "В статье рассматриваются методы расчёта реакторов",
        "Книга состоит из трёх частей.",
    ),
    "positive": (
        "Ура, я так счастлива!",
        "Спасибо большое, всё отлично!",
        "Замечательный день, отличное настроение :)",
        "Люблю тебя )))",
    ),
}


def test_it_is_small_and_has_a_card_that_names_its_data_and_their_licences() -> None:
    assert sum(file.stat().st_size for file in FOLDER.iterdir()) <= 20e6
    card = (FOLDER / "README.md").read_text(encoding="utf-8")
    for said in ("license: apache-2.0", "CEDR", "Apache-2.0", "RuSentNE", "MIT", "train sentiment-ngrams"):
        assert said in card


@pytest.mark.parametrize("name", CLASSES)
def test_clear_sentences(name: str) -> None:
    probabilities, _ = open_classifier(DEFAULT_CLASSIFIER).classify(CLEAR[name])
    assert [CLASSES[number] for number in probabilities.argmax(axis=1)] == [name] * len(CLEAR[name])


def test_its_name_finds_it_unless_a_directory_is_called_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    identity = identity_of(DEFAULT_CLASSIFIER)
    model = open_classifier(DEFAULT_CLASSIFIER)
    assert model.identity == identity
    assert identity["name"] == DEFAULT_CLASSIFIER
    assert identity["sha256"] == identity_of(str(FOLDER))["sha256"]
    texts = [text for texts in CLEAR.values() for text in texts]
    assert np.array_equal(model.classify(texts)[0], open_classifier(str(FOLDER)).classify(texts)[0])
    monkeypatch.chdir(tmp_path)
    (tmp_path / DEFAULT_CLASSIFIER).mkdir()
    assert identity_of(DEFAULT_CLASSIFIER) == identity
    with pytest.raises(ValueError, match=r"no config\.json"):
        identity_of(f"./{DEFAULT_CLASSIFIER}")
