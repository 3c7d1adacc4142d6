"""Language of a text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kartoteka.text.language import detect

TEXTS = {
    "ru": "Предложен метод расчёта выгорания топлива в ядерном реакторе.",
    "uk": "Запропоновано метод розрахунку вигоряння палива в ядерному реакторі.",
    "bg": "Предложен е метод за изчисляване на изгарянето на горивото в ядрения реактор.",
    "en": "A method is proposed to compute the burn-up of fuel in a nuclear reactor.",
    "fr": "Une méthode est proposée pour le calcul de la combustion dans un réacteur nucléaire.",
    "de": "Es wird ein Verfahren zur Berechnung des Abbrands in einem Kernreaktor vorgeschlagen.",
    "es": "Se propone un método para calcular el quemado del combustible en un reactor nuclear.",
}


@pytest.mark.parametrize("lang", TEXTS)
def test_detect(lang: str) -> None:
    assert detect(TEXTS[lang]) == lang
    assert detect(TEXTS[lang].upper()) == lang
    assert detect(TEXTS[lang] * 1000) == lang


@pytest.mark.parametrize("text", ["", " ", "12 345", "!?… $%", "___", "\u0301\u0301"])
def test_text_without_letters_is_undetermined(text: str) -> None:
    assert detect(text) == "und"


def test_latin_words_do_not_hide_russian() -> None:
    assert detect("Сравнение моделей BERT, GPT и T5 на русских текстах: метрики ROUGE и выводы") == "ru"


@given(st.text(max_size=100))
def test_answer_is_a_code_and_always_the_same(text: str) -> None:
    answer = detect(text)
    assert answer == "und" or (len(answer) == 2 and answer.isalpha())
    assert detect(text) == answer
