"""Labels of catalogues as ISO 639-1 codes."""

from __future__ import annotations

import pytest

from kartoteka.text.language_codes import language_code


@pytest.mark.parametrize(
    ("label", "code"),
    [
        ("en", "en"), ("EN", "en"), ("eng", "en"), ("en-GB", "en"), ("en_US.UTF-8", "en"), ("English", "en"),
        ("ger", "de"), ("deu", "de"), ("Deutsch", "de"), ("fre", "fr"), ("fra", "fr"), ("Français", "fr"),
        (" rus ", "ru"), ("ru-RU", "ru"), ("Русский", "ru"), ("zh-Hans", "zh"), ("chi", "zh"), ("gre", "el"),
        ("und", None), ("mul", None), ("xx", None), ("", None), ("eng;ger", None), ("klingon", None),
    ],
)  # fmt: skip
def test_labels(label: str, code: str | None) -> None:
    assert language_code(label) == code
