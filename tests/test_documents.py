"""What a raw record becomes, and the round trip of the Document and quarantine tables."""

from __future__ import annotations

import datetime as dt
import io

import orjson
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kartoteka.documents import (
    DOCUMENT_SCHEMA,
    QUARANTINE_SCHEMA,
    ReadSettings,
    Reason,
    Refusal,
    from_record,
    missing_columns,
    quarantine_row,
    quarantine_table,
    to_table,
)

SETTINGS = ReadSettings()
ABSTRACT = "The archive of the library is indexed again every year, and readers find what they look for."


def document(record: object, settings: ReadSettings = SETTINGS) -> dict:
    value = from_record(record, "x.jsonl:1", settings)
    assert not isinstance(value, Refusal), value
    return value


def refusal(record: object, settings: ReadSettings = SETTINGS) -> Refusal:
    value = from_record(record, "x.jsonl:1", settings)
    assert isinstance(value, Refusal), value
    return value


def extra(record: object) -> dict:
    return orjson.loads(document(record)["extra"])


def test_a_record_with_the_names_of_the_table() -> None:
    record = {
        "id": "a", "title": "An archive", "abstract": ABSTRACT, "lang": "en", "year": 2019,
        "keyphrases": ["archives", "libraries"], "references": ["b"], "added": "2024-02-29", "z": 1, "doi": "10/x",
    }  # fmt: skip
    assert document(record) == {
        "id": "a", "title": "An archive", "abstract": ABSTRACT, "lang": "en", "year": 2019,
        "keyphrases": ["archives", "libraries"], "references": ["b"], "added": dt.date(2024, 2, 29),
        "source": "x.jsonl:1", "extra": '{"doi":"10/x","z":1}',
    }  # fmt: skip


@pytest.mark.parametrize("name", ["text", "description", "summary", "Abstract", "SUMMARY"])
def test_other_names_of_the_abstract(name: str) -> None:
    assert document({"id": 1, name: ABSTRACT})["abstract"] == ABSTRACT


def test_the_preferred_name_wins_and_the_other_stays() -> None:
    value = document({"id": 1, "abstract": ABSTRACT, "text": "The body"})
    assert value["abstract"] == ABSTRACT
    assert orjson.loads(value["extra"]) == {"text": "The body"}


def test_an_empty_preferred_field_gives_way() -> None:
    assert document({"id": 1, "abstract": "", "text": ABSTRACT})["abstract"] == ABSTRACT


def test_an_absent_language_is_detected() -> None:
    assert document({"id": 1, "abstract": ABSTRACT})["lang"] == "en"
    russian = "Рассмотрены методы расчета реакторов и приведены результаты измерений"
    assert document({"id": 1, "title": russian})["lang"] == "ru"


@pytest.mark.parametrize("label", ["rus", "ru-RU", "Russian", "русский", " RU "])
def test_language_labels(label: str) -> None:
    value = document({"id": 1, "abstract": ABSTRACT, "language": label})
    assert value["lang"] == "ru"
    assert value["extra"] == "{}"


def test_an_unknown_language_is_detected_and_its_label_kept() -> None:
    value = document({"id": 1, "abstract": ABSTRACT, "lang": "mul"})
    assert value["lang"] == "en"
    assert orjson.loads(value["extra"]) == {"lang": "mul"}


@pytest.mark.parametrize(
    ("given_id", "expected"), [(7, "7"), (7.0, "7"), (" a b ", "a b"), ("007", "007"), (2**63, str(2**63))]
)
def test_ids(given_id: object, expected: str) -> None:
    assert document({"id": given_id, "title": "Archives"})["id"] == expected


@pytest.mark.parametrize("given_id", [True, 1.5, ["a"], {"a": 1}, "a\x00b", "a\nb", "x" * 1001, 1e300])
def test_bad_ids(given_id: object) -> None:
    assert refusal({"id": given_id, "title": "Archives"}).reason == Reason.BAD_ID


@pytest.mark.parametrize("record", [{"title": "Archives"}, {"id": "", "title": "A"}, {"id": "  ", "title": "A"}, {}])
def test_missing_ids(record: dict) -> None:
    assert refusal(record).reason == Reason.MISSING_ID


def test_the_id_field_can_be_chosen() -> None:
    settings = ReadSettings(id_field="DOI")
    value = document({"id": 3, "doi": "10/x", "title": "Archives"}, settings)
    assert value["id"] == "10/x"
    assert orjson.loads(value["extra"]) == {"id": 3}
    assert "`DOI`" in refusal({"id": 3, "title": "Archives"}, settings).detail


@pytest.mark.parametrize("record", [["a"], "a", 1, None])
def test_not_an_object(record: object) -> None:
    assert refusal(record).reason == Reason.NOT_AN_OBJECT


@pytest.mark.parametrize("texts", [{}, {"title": "..."}, {"title": "", "abstract": "2019 -- 12"}, {"abstract": "\x00"}])
def test_no_letters(texts: dict) -> None:
    assert refusal({"id": 1, **texts}).reason in (Reason.EMPTY_TEXT, Reason.BINARY)


@pytest.mark.parametrize("abstract", [["a"], {"a": "b"}, 1.5, True])
def test_an_abstract_that_is_no_text(abstract: object) -> None:
    assert refusal({"id": 1, "title": "Archives", "abstract": abstract}).reason == Reason.BAD_TYPE


def test_a_refusal_keeps_the_id() -> None:
    refused = refusal({"id": 7, "title": "..."})
    assert quarantine_row(refused, stage="read", source="x:1", record=b"{}")["id"] == "7"
    assert refusal({"title": "Archives"}).identity is None


def test_a_title_that_is_a_number_is_a_title() -> None:
    assert document({"id": 1, "title": 1984, "abstract": ABSTRACT})["title"] == "1984"


def test_too_long() -> None:
    settings = ReadSettings(max_characters=100)
    assert document({"id": 1, "abstract": "a" * 100}, settings)["abstract"] == "a" * 100
    assert refusal({"id": 1, "abstract": "a" * 101}, settings).reason == Reason.TOO_LONG
    assert refusal({"id": 1, "abstract": "word " * 10_000_000}).reason == Reason.TOO_LONG  # 50 MB


def test_nul_bytes() -> None:
    assert document({"id": 1, "abstract": "The ar\x00chive of \x00books"})["abstract"] == "The archive of books"
    assert refusal({"id": 1, "abstract": "\x00\x01\x02PNG\x00\x00"}).reason == Reason.BINARY


def test_lone_surrogates() -> None:
    assert refusal({"id": 1, "title": "Archives", "keywords": ["a"], "z": "\ud800"}).reason == Reason.BAD_TYPE
    value = from_record({"id": 1, "title": "Archives \ud800"}, "x", SETTINGS)
    assert isinstance(value, Refusal) or value["title"].encode()


@pytest.mark.parametrize(
    ("year", "expected"),
    [
        (2019, 2019), ("2019", 2019), (2019.0, 2019), ("2019-05-03", 2019), ("03.05.2019", 2019), ("20190503", 2019),
        ("[c1998]", 1998), (dt.date(1999, 1, 2), 1999), (dt.datetime(1999, 1, 2, 3), 1999),
        (0, None), (20195, None), ("soon", None), (-5, None), (True, None), ([2019], None), (99999999, None),
    ],
)  # fmt: skip
def test_years(year: object, expected: int | None) -> None:
    value = document({"id": 1, "title": "Archives", "year": year})
    assert value["year"] == expected
    if expected is None:
        assert orjson.loads(value["extra"]) == {"year": year}


def test_a_date_keeps_its_day() -> None:
    value = document({"id": 1, "title": "Archives", "date": "2019-05-03"})
    assert value["year"] == 2019
    assert orjson.loads(value["extra"]) == {"date": "2019-05-03"}


@pytest.mark.parametrize(
    ("keywords", "expected"),
    [
        (["a", " b ", "", None, "a", "B"], ["a", "b", "B"]),
        ("a; b, c;a;", ["a", "b, c"]),
        ("a, b ,c", ["a", "b", "c"]),
        ("R&amp;D; a", ["R&D", "a"]),
        ('["a", "b; c"]', ["a", "b; c"]),
        ("[sic] one", ["[sic] one"]),
        ("one\ntwo, three", ["one", "two, three"]),
        (["<i>E. coli</i>", 5], ["E. coli", "5"]),
        ("", []),
    ],
)
def test_keyphrases(keywords: object, expected: list[str]) -> None:
    value = document({"id": 1, "title": "Archives", "keywords": keywords})
    assert value["keyphrases"] == expected
    assert value["extra"] == "{}"


def test_an_endless_keyphrase_is_kept_apart() -> None:
    value = document({"id": 1, "title": "Archives", "tags": ["a", "b" * 201]})
    assert value["keyphrases"] == ["a"]
    assert orjson.loads(value["extra"]) == {"keyphrases_too_long": ["b" * 201]}


def test_keyphrases_that_are_objects_stay_in_extra() -> None:
    record = {"id": 1, "title": "Archives", "subjects": [{"uri": "u"}]}
    assert document(record)["keyphrases"] == []
    assert extra(record) == {"subjects": [{"uri": "u"}]}


def test_extra_is_canonical_and_holds_what_json_does_not() -> None:
    record = {"id": 1, "title": "Archives", "b": 1, "a": b"\xff", "c": dt.date(2020, 1, 1), "d": None, "e": ""}
    assert document(record)["extra"] == '{"a":"/w==","b":1,"c":"2020-01-01"}'
    assert document(dict(reversed(record.items())))["extra"] == document(record)["extra"]


def test_extra_nested_without_end() -> None:
    deep: list = []
    for _ in range(500):
        deep = [deep]
    assert refusal({"id": 1, "title": "Archives", "z": deep}).reason == Reason.BAD_TYPE


def test_missing_columns() -> None:
    assert missing_columns(["ID", "Title"], SETTINGS) is None
    assert missing_columns(["title"], SETTINGS) == "no column `id`"
    assert missing_columns(["id", "year"], SETTINGS) == "no column `title` or `abstract`"
    assert missing_columns(["id", "title"], ReadSettings(id_field="ppn")) == "no column `ppn`"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=9) | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
field_names = st.sampled_from(["id", "title", "abstract", "lang", "year", "date", "keywords", "added", "references"])
records = st.dictionaries(field_names | st.text(max_size=6), json_values, max_size=10)


@settings(deadline=None)
@given(records)
def test_any_record_is_a_row_or_a_reason(record: dict) -> None:
    value = from_record(record, "x", SETTINGS)
    if isinstance(value, Refusal):
        assert value.reason in set(Reason)
        assert "\n" not in value.detail
    else:
        assert to_table([value]).to_pylist() == [value]
        assert isinstance(orjson.loads(value["extra"]), dict)


@settings(deadline=None)
@given(st.builds(lambda **kw: kw, id=st.text(min_size=1), title=st.text(min_size=1), keywords=st.lists(st.text())))
def test_a_document_is_a_fixed_point(record: dict) -> None:
    value = from_record(record, "x", SETTINGS)
    if not isinstance(value, Refusal):
        again = {key: value[key] for key in ("id", "title", "abstract", "lang", "keyphrases")}
        assert document(again)["title"] == value["title"]
        assert document(again)["keyphrases"] == value["keyphrases"]


text = st.text(st.characters(codec="utf-8"), max_size=30)
row = st.fixed_dictionaries(
    {
        "id": text, "title": text, "abstract": text, "lang": text, "year": st.none() | st.integers(-(2**15), 2**15 - 1),
        "keyphrases": st.lists(text, max_size=3), "references": st.lists(text, max_size=3),
        "added": st.none() | st.dates(), "source": text, "extra": text,
    }
)  # fmt: skip


@settings(deadline=None)
@given(st.lists(row, max_size=5))
def test_documents_survive_parquet(rows: list[dict]) -> None:
    table = to_table(rows)
    assert table.schema.equals(DOCUMENT_SCHEMA)
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd")
    back = pq.read_table(sink)
    assert back.schema.equals(DOCUMENT_SCHEMA)
    assert back.to_pylist() == rows


refused = st.builds(
    quarantine_row,
    st.builds(Refusal, st.sampled_from(list(Reason)), text, st.none() | text),
    stage=text, source=text, record=st.binary(max_size=50),
)  # fmt: skip


@settings(deadline=None)
@given(st.lists(refused, max_size=5))
def test_quarantine_survives_parquet(rows: list[dict]) -> None:
    sink = io.BytesIO()
    pq.write_table(quarantine_table(rows), sink, compression="zstd")
    back = pq.read_table(sink)
    assert back.schema.equals(QUARANTINE_SCHEMA)
    assert back.to_pylist() == rows
