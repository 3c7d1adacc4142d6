"""A shard on disk: bm25s opens it, equal input gives equal bytes, and a torn file is named."""

from __future__ import annotations

import bm25s
import numpy as np
import pytest

from kartoteka.lexical.shard import Shard, build_shard
from kartoteka.lexical.statistics import count_part, merge

DOCUMENTS = [["card", "catalogue", "card"], ["library", "card"], [], ["слово", "library", "card"]]


def build(folder, documents=DOCUMENTS) -> None:
    build_shard(documents, merge([count_part(documents)]), folder)


def test_bm25s_opens_a_shard_and_scores_as_its_own_index(tmp_path) -> None:
    build(tmp_path / "shard")
    ours = bm25s.BM25.load(tmp_path / "shard", mmap=True)
    theirs = bm25s.BM25()
    theirs.index(DOCUMENTS, show_progress=False)
    for query in [*DOCUMENTS[:2], ["слово", "card", "unknown"]]:
        np.testing.assert_array_equal(ours.get_scores(query), theirs.get_scores(query))
    assert ours.retrieve([["слово"]], k=1, show_progress=False).documents.tolist() == [[3]]


def test_equal_documents_give_equal_bytes_and_replace_what_was_there(tmp_path) -> None:
    build(tmp_path / "a", [["other"]])
    build(tmp_path / "a")
    build(tmp_path / "b")
    names = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert names == sorted(path.name for path in (tmp_path / "b").iterdir())
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_a_shard_without_documents(tmp_path) -> None:
    build(tmp_path / "none", [])
    build(tmp_path / "empty", [[], []])
    assert Shard.open(tmp_path / "none").documents == 0
    assert Shard.open(tmp_path / "empty").documents == 2
    assert bm25s.BM25.load(tmp_path / "empty", mmap=True).scores["num_docs"] == 2


@pytest.mark.parametrize("name", ["data.csc.index.npy", "forward.npy", "dense.npy", "vocab.index.json"])
def test_a_torn_or_missing_file_is_named(name, tmp_path) -> None:
    build(tmp_path / "shard")
    path = tmp_path / "shard" / name
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    with pytest.raises(ValueError, match=f"{name} is torn"):
        Shard.open(tmp_path / "shard")
    path.unlink()
    with pytest.raises(ValueError, match=f"{name} is missing"):
        Shard.open(tmp_path / "shard")


def test_a_folder_that_is_no_shard(tmp_path) -> None:
    with pytest.raises(ValueError, match=r"cannot read .*shard\.json"):
        Shard.open(tmp_path)
    (tmp_path / "shard.json").write_text("{")
    with pytest.raises(ValueError, match=r"shard\.json is not a description"):
        Shard.open(tmp_path)
    (tmp_path / "shard.json").write_text('{"kind": "vectors", "files": {}}')
    with pytest.raises(ValueError, match="does not describe a shard of this kind"):
        Shard.open(tmp_path)


def test_statistics_of_another_corpus_are_refused(tmp_path) -> None:
    with pytest.raises(ValueError, match=r"statistics: the corpus does not count 'card'"):
        build_shard(DOCUMENTS, merge([count_part([["library", "catalogue", "слово"]])]), tmp_path / "shard")
    assert list(tmp_path.iterdir()) == []
