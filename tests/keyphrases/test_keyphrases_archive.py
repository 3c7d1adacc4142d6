"""The archive's counts against a plain count of the records, and its independence of how the parts are cut."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from keyphrase_worlds import build_archive, journal, record

from kartoteka.keyphrases.hashing import fold_rows, hash_words, table_get_all
from kartoteka.keyphrases.phrases import clean
from kartoteka.text.words import phrase_key, stems


def test_counts_equal_a_plain_count_of_the_records(tmp_path: Path) -> None:
    records = journal("en")[:120]
    archive = build_archive(records, tmp_path, (50,))
    assert archive.documents == len(records)
    assert archive.ids.to_pylist() == [r["id"] for r in records]
    carried = [{phrase_key(clean(k), "en") for k in r["keyphrases"]} - {""} for r in records]
    # keys under which two forms are one phrase by their letters alone are left to the tests of phrases
    for number, surface in enumerate(archive.surfaces.to_pylist()):
        key = phrase_key(surface, "en")
        padded = f" {key} "
        titles = [padded in f" {' '.join(stems(r['title'], 'en'))} " for r in records]
        abstracts = [padded in f" {' '.join(stems(r['abstract'], 'en'))} " for r in records]
        inside = np.array(titles) | np.array(abstracts)
        own = np.array([key in keys for keys in carried])
        assert archive.arrays.df[number] == own.sum()
        assert archive.arrays.text_counts[:, number].tolist() == [
            inside.sum(), (inside & own).sum(), np.sum(titles), (np.array(titles) & own).sum(),
        ]  # fmt: skip


def test_words_are_counted_in_texts_and_in_keyphrases(tmp_path: Path) -> None:
    records = [
        record(0, "Robot arms", "The robot moves.", ["robot arm", "robot leg"]),
        record(1, "Walking", "A robot walks.", ["gait"]),
        record(2, "Fish", "Fish swim.", ["fish"]),
    ]
    arrays = build_archive(records, tmp_path).arrays
    found = table_get_all(arrays.word_keys, arrays.word_values, hash_words(["robot", "gait", "walk", "swim"]))
    assert found[2:].tolist() == [-1, -1]  # in one document only, and in no phrase
    assert arrays.word_df[found[:2]].tolist() == [2, 0]
    assert arrays.word_carried[found[:2]].tolist() == [1, 1]


def test_forms_find_their_phrase_by_the_hash_of_their_stems(tmp_path: Path) -> None:
    archive = build_archive(journal("ru")[:40], tmp_path)
    words = [phrase_key(surface, "ru").split(" ") for surface in archive.surfaces.to_pylist()]
    offsets = np.concatenate([[0], np.cumsum([len(w) for w in words])]).astype(np.int64)
    keys = fold_rows(hash_words([w for some in words for w in some]), offsets)
    found = table_get_all(archive.arrays.form_keys, archive.arrays.form_values, keys)
    assert found.tolist() == list(range(archive.phrases))


@pytest.mark.parametrize("cuts", [(1,), (10, 10, 25), (39,)])
def test_the_cut_of_the_parts_does_not_matter(tmp_path: Path, cuts: tuple[int, ...]) -> None:
    records = journal("en")[:25] + journal("ru")[:15]
    build_archive(records, tmp_path / "whole")
    build_archive(records, tmp_path / "parts", cuts)
    for file in (tmp_path / "whole").iterdir():
        if file.suffix == ".npy":
            assert file.read_bytes() == (tmp_path / "parts" / file.name).read_bytes(), file.name


def test_an_archive_of_nothing_is_valid(tmp_path: Path) -> None:
    archive = build_archive([record(0, "Title", "Text.", [])], tmp_path)
    assert (archive.documents, archive.phrases) == (0, 0)


def test_odd_keyphrases_do_no_harm(tmp_path: Path) -> None:
    odd = ["x" * 10_000, " ".join(["very"] * 3000), "", "?!", "robot", "Robot", "robots"]
    archive = build_archive([record(0, "A robot", "Text.", odd), record(1, "B", "Text.", ["!"])], tmp_path)
    assert archive.documents == 2
    assert archive.phrases_of(1).size == 0
    assert sorted(archive.surfaces.to_pylist(), key=len) == ["Robot", "x" * 10_000]
