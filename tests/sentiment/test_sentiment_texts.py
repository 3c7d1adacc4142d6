"""What is read, what is refused and why, and which texts are copies of each other."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sentiment.sentiment_worlds import opinion, write

from kartoteka.sentiment.texts import (
    CLASSES,
    UNLABELLED,
    Texts,
    copy_keys,
    held_out,
    read_texts,
    side_keys,
    without_copies,
)


def texts_of(rows: list[tuple[str, int]]) -> Texts:
    found = Texts()
    for number, (text, label) in enumerate(rows):
        found.ids.append(str(number))
        found.texts.append(text)
        found.labels.append(label)
        found.sources.append("")
        found.validation.append(False)
    return found


def test_labels_are_classes_or_mapped_or_refused_with_a_reason(tmp_path):
    rows = [
        {"id": 1, "text": "раз", "label": "positive"},
        {"id": 2, "text": "два", "label": 0},
        {"id": 3, "text": "три", "label": "speech"},
        {"id": 4, "text": "четыре"},
        {"id": 5, "text": "  "},
        {"id": 6, "text": "шесть", "label": "neutral", "split": "test"},
        {"text": "семь", "label": "neutral", "split": "validation", "source": "x"},
    ]
    file = write(tmp_path / "a.jsonl", rows)
    found = read_texts([file], {"0": "negative"})
    assert found.ids == ["1", "2", "3", "4", f"{file}:7"]
    assert found.labels == [2, 0, UNLABELLED, UNLABELLED, 1]
    assert found.validation == [False] * 4 + [True]
    assert found.refused == [("3", "label `speech` is no class"), ("5", "no text"), ("6", "of a test split")]
    assert "6" in read_texts([file], {}, tests=True).ids


def test_parquet_reads_as_json_lines_do(tmp_path):
    rows = [opinion(n) for n in range(6)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    assert read_texts([str(tmp_path / "a.parquet")], {}) == read_texts([write(tmp_path / "a.jsonl", rows)], {})


def test_what_cannot_be_learned_from(tmp_path):
    for rows, message in (
        ([], r"data: .*a\.jsonl is empty"),
        ([{"text": "то же", "label": name} for name in CLASSES], "all 3 texts are equal"),
        ([{"label": "neutral"}], r"a\.jsonl:1: `text` is missing"),
    ):
        with pytest.raises(ValueError, match=message):
            read_texts([write(tmp_path / "a.jsonl", rows)], {})
    with pytest.raises(ValueError, match="no such file"):
        read_texts([str(tmp_path / "absent.jsonl")], {})


def test_copies():
    plain = "Банк снова не работает"
    copies = [f"RT @user: {plain}", f"{plain} http://t.co/abc", plain.upper(), f"@one @two {plain}…"]
    assert len(set(copy_keys([plain, *copies]).tolist())) == 1
    assert len(set(copy_keys([plain, plain + ")))", plain + " ((("]).tolist())) == 3  # a smile is sentiment
    assert len(set(side_keys([plain, plain + ")))", f"RT @x: {plain}"]).tolist())) == 1
    assert len(set(side_keys([":)", ":("]).tolist())) == 2


def test_a_cut_retweet_falls_on_the_side_of_its_original():
    whole = "один два три четыре пять шесть семь восемь девять десять одиннадцать"
    assert len(set(side_keys([whole, "RT @a: один два три четыре пять шесть семь восемь девя…"]).tolist())) == 1


def test_of_copies_the_first_labelled_one_stays_and_torn_ones_go():
    texts = texts_of([("а", -1), ("А", 2), ("а", 2), ("б", 0), ("Б", 1), ("в", -1), ("В", -1)])
    found = without_copies(texts)
    assert (found.ids, found.labels) == (["1", "5"], [2, -1])
    assert found.reasons() == {"a copy of another text": 3, "copies have different labels": 2}


@settings(max_examples=60, deadline=None)
@given(
    sides=st.lists(st.integers(0, 40), min_size=1, max_size=60),
    share=st.floats(0.05, 0.9),
    salt=st.sampled_from(["a", "b"]),
)
def test_a_split_never_parts_a_side_and_knows_only_the_sides(sides, share, salt):
    sides = np.array(sides, np.uint64)
    out = held_out(sides, share, salt)
    held = set(sides[out].tolist())
    assert not held & set(sides[~out].tolist())
    assert len(held) == max(1, round(share * len(set(sides.tolist()))))
    assert np.array_equal(held_out(sides[::-1], share, salt), out[::-1])
