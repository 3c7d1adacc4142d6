"""Present, reordered, mixed, unseen."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kartoteka.text import prmu

stems = st.lists(st.sampled_from("abc"), max_size=8)
phrases = st.lists(st.sampled_from("abcd"), min_size=1, max_size=4)


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("a b", "present"),
        ("d e", "present"),
        ("c d", "reordered"),  # contiguous only across the boundary
        ("e a", "reordered"),
        ("a x", "mixed"),
        ("x y", "unseen"),
        ("a", "present"),
        ("ab", "unseen"),  # a word, not a substring
    ],
)
def test_category(key: str, expected: str) -> None:
    assert prmu.category(key, ["a", "b", "c"], ["d", "e"]) == expected


def test_phrase_without_words_is_refused() -> None:
    with pytest.raises(ValueError, match="key"):
        prmu.category("", ["a"], [])


def contiguous(phrase: list[str], words: list[str]) -> list[int]:
    return [i for i in range(len(words) - len(phrase) + 1) if words[i : i + len(phrase)] == phrase]


@given(phrases, stems, stems)
def test_category_is_boudin_and_gallinas(phrase: list[str], title: list[str], abstract: list[str]) -> None:
    if contiguous(phrase, title) or contiguous(phrase, abstract):
        expected = "present"
    else:
        there = [word in title or word in abstract for word in phrase]
        expected = "reordered" if all(there) else "mixed" if any(there) else "unseen"
    assert prmu.category(" ".join(phrase), title, abstract) == expected


@given(phrases, stems, stems)
def test_find_counts_every_place(phrase: list[str], title: list[str], abstract: list[str]) -> None:
    places = contiguous(phrase, title) + [len(title) + i for i in contiguous(phrase, abstract)]
    expected = (places[0], len(places)) if places else (-1, 0)
    text = prmu.StemmedText(title, abstract)
    assert text.find(" ".join(phrase)) == expected
    in_title = contiguous(phrase, title)
    assert prmu.find(phrase, title) == ((in_title[0], len(in_title)) if in_title else (-1, 0))
    assert text.share(" ".join(phrase)) == sum(w in title + abstract for w in phrase) / len(phrase)


def test_nothing_is_found_nowhere() -> None:
    assert prmu.find([], ["a"]) == (-1, 0)
    assert prmu.find(["a"], []) == (-1, 0)
    assert prmu.StemmedText([], []).share("") == 0.0
