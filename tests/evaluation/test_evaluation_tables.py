"""Reading predictions and gold: every format the same, every fault one line that names the place."""

from __future__ import annotations

import gzip

import orjson
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
import zstandard

from kartoteka.documents import DOCUMENT_SCHEMA, KEYPHRASES_SCHEMA
from kartoteka.evaluation.tables import GoldDocument, files_of, read_gold, read_predictions

ROWS = [
    {"id": "a", "keyphrases": ["graph; theory", "нейронная сеть"]},
    {"id": "b", "keyphrases": []},
    {"id": "c", "keyphrases": ["x"]},
]


def lines(rows) -> bytes:
    return b"".join(orjson.dumps(row) + b"\n" for row in rows)


def write(path, rows):
    data = lines(rows)
    if path.name.endswith(".gz"):
        data = gzip.compress(data)
    elif path.name.endswith(".zst"):
        half = len(data) // 2
        data = zstandard.compress(data[:half]) + zstandard.compress(data[half:])  # two frames
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        path.write_bytes(data)
    return path


@pytest.mark.parametrize("name", ["p.jsonl", "p.jsonl.gz", "p.jsonl.zst", "p.parquet"])
def test_formats_read_the_same(tmp_path, name):
    found = read_predictions(write(tmp_path / name, ROWS))
    assert found.get("a") == (["graph; theory", "нейронная сеть"], None)
    assert found.get("b") == ([], None)
    assert found.get("c") == (["x"], None)
    assert found.get("d") is None


def test_a_folder_is_all_its_files_in_order(tmp_path):
    write(tmp_path / "part-1.jsonl", ROWS[2:])
    write(tmp_path / "part-0.parquet", ROWS[:2])
    (tmp_path / "notes.txt").write_text("no table")
    assert list(read_predictions(tmp_path).rows) == ["a", "b", "c"]


def test_scores_come_with_structs_and_only_when_all_have_one(tmp_path):
    rows = [{"id": "a", "keyphrases": [{"phrase": "x", "score": 0.5}, {"phrase": "y", "score": 1}]}]
    for name in ("p.jsonl", "p.parquet"):
        assert read_predictions(write(tmp_path / name, rows)).get("a") == (["x", "y"], [0.5, 1.0])
    rows.append({"id": "b", "keyphrases": [{"phrase": "z"}]})
    assert read_predictions(write(tmp_path / "q.jsonl", rows)).get("a") == (["x", "y"], None)


def keyphrase(phrase: str, score: float) -> dict:
    return {
        "phrase": phrase, "score": score, "category": "present", "origins": ["text"], "neighbours": ["n"],
        "concept": None,
    }  # fmt: skip


def test_the_edition_schemas_are_read(tmp_path):
    rows = [
        {"id": "a", "keyphrases": [keyphrase("x", 0.75), keyphrase("y", 0.25)]},
        {"id": "b", "keyphrases": []},
        {"id": "c", "keyphrases": [keyphrase("z", 0.5)]},
    ]
    pq.write_table(pa.Table.from_pylist(rows, KEYPHRASES_SCHEMA), tmp_path / "part-0.parquet", row_group_size=2)
    for origin in (tmp_path, ds.dataset(tmp_path, format="parquet")):
        found = read_predictions(origin)
        assert [found.get(i) for i in "abc"] == [(["x", "y"], [0.75, 0.25]), ([], []), (["z"], [0.5])]
    document = {
        "id": "a", "title": "T", "abstract": "A", "lang": "ru", "year": None, "keyphrases": ["k"], "references": [],
        "added": None, "source": "corpus.jsonl.zst:17", "extra": "{}",
    }  # fmt: skip
    gold = tmp_path / "documents"
    gold.mkdir()
    pq.write_table(pa.Table.from_pylist([document], DOCUMENT_SCHEMA), gold / "part-0.parquet")
    assert list(read_gold(gold)) == [GoldDocument("a", "T", "A", ["k"], "ru", "corpus.jsonl.zst")]


def test_gold_fields_that_may_be_absent(tmp_path):
    rows = [{"id": 7, "title": "T", "keyphrases": None}, {"id": "8", "abstract": "A", "collection": "c", "source": "s"}]
    assert list(read_gold(write(tmp_path / "g.jsonl", rows))) == [
        GoldDocument("7", "T", "", [], "", ""),
        GoldDocument("8", "", "A", [], "", "c"),
    ]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b'{"id": "a", "keyphrases": ["x"]}\n{"id": "a", "keyphrases": []}\n', r"p\.jsonl:2: `id` 'a' occurs twice"),
        (b'{"keyphrases": ["x"]}\n', r"p\.jsonl:1: `id` is missing"),
        (b'{"id": "a"}\n', r"p\.jsonl:1: `keyphrases` is missing"),
        (b'{"id": "a", "keyphrases": "x; y"}\n', r"p\.jsonl:1: `keyphrases` is not a list"),
        (b'{"id": "a", "keyphrases": [1]}\n', r"p\.jsonl:1: `keyphrases` holds 1"),
        (b'{"id": "a", "keyphrases": [{"phrase": "x", "score": "high"}]}\n', "the score 'high', not a number"),
        (b'{"id": "a", "keyphrases": ["x"]}\n{"id": \n', r"p\.jsonl:2: not JSON"),
        (b"[1]\n", r"p\.jsonl:1: not a JSON object"),
        (b'{"id": "\xff", "keyphrases": []}\n', r"p\.jsonl:1: not JSON"),
    ],
)
def test_faults_name_the_row(tmp_path, data, message):
    path = tmp_path / "p.jsonl"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=message):
        read_predictions(path)


@pytest.mark.parametrize("name", ["p.jsonl.gz", "p.jsonl.zst", "p.parquet"])
def test_a_truncated_file_is_not_read_as_a_whole_one(tmp_path, name):
    path = write(tmp_path / name, [{"id": str(i), "keyphrases": [f"phrase {i}"]} for i in range(500)])
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ValueError, match=name):
        read_predictions(path)


def test_paths_that_are_no_tables(tmp_path):
    with pytest.raises(ValueError, match="no such file or folder"):
        files_of(tmp_path / "absent.jsonl")
    with pytest.raises(ValueError, match="in this folder"):
        files_of(tmp_path)
    (tmp_path / "p.csv").write_text("id\n")
    with pytest.raises(ValueError, match="not one of"):
        files_of(tmp_path / "p.csv")


def test_predictions_given_as_gold_are_told_apart(tmp_path):
    with pytest.raises(ValueError, match="is this the gold file"):
        list(read_gold(write(tmp_path / "p.jsonl", ROWS)))
