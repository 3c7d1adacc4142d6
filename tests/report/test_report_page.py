"""The report of whole, partial and hostile editions, read back with a parser as a browser would."""

from __future__ import annotations

from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any

import pytest
from edition_rows import document, keyphrase, refusal

from kartoteka import report


class Page(HTMLParser):
    """Tags with their attributes, the text, and the headings of a page; fails on tags that do not nest."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.text += data

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


FULL: dict[str, Any] = {
    "created": "2026-03-04T05:06:07+00:00",
    "config_hash": "0123456789abcdef",
    "config": {"lexical": {"k1": 1.5, "b": 0.75}},
    "versions": {"kartoteka": "0.1.0", "python": "3.11"},
    "inputs": [{"path": "archive.jsonl", "bytes": 2048, "fingerprint": "feed" * 8}],
    "models": {"encoder": {"name": "tiny-encoder", "sha256": "ab" * 32, "dimension": 8}, "ranker": None},
    "counts": {
        "read": 8,
        "documents": 5,
        "quarantined": 3,
        "annotated": 4,
        "languages": {"en": 3, "fr": 2},
        "reasons": {"missing_id": 2, "no_text": 1},
        "years": {"2019": 1, "2020": 3},
    },
    "stages": [
        {"name": "read", "parts": 1, "rows_in": 8, "rows_out": 5, "quarantined": 3, "seconds": 0.5, "cpu_seconds": 0.9,
         "rows_per_second": 16.0, "energy_wh": 0.001, "energy_how": "CPU-seconds x 4.0 W"},
        {"name": "embed", "parts": 3, "rows_in": 5, "rows_out": 5, "quarantined": 0, "seconds": 2.0, "cpu_seconds": 3.5,
         "rows_per_second": 2.5, "energy_wh": 0.004, "energy_how": "CPU-seconds x 4.0 W"},
    ],
    "quality": {
        "documents": 50,
        "convention": "stems, macro average",
        "metrics": {
            "F1@10": {"value": 0.268, "low": 0.25, "high": 0.29},
            "F1@5": {"value": 0.324, "low": 0.31, "high": 0.34},
        },
        "baseline": {"F1@5": {"value": 0.261, "low": 0.25, "high": 0.27}},
        "calibration": {
            "ece": 0.018,
            "bins": [
                {"low": 0.0, "high": 0.5, "mean_score": 0.2, "share_correct": 0.25, "count": 90},
                {"low": 0.5, "high": 1.0, "mean_score": 0.7, "share_correct": 0.65, "count": 10},
            ],
        },
    },
}  # fmt: skip
TABLES: dict[str, list[dict[str, Any]]] = {
    "documents": [
        document("a", title="Shelves and drawers"),
        document("b"),
        document("c"),
        document("d", lang="fr", title="Les fiches d'une bibliothèque"),
        document("e", lang="fr", year=None),
    ],
    "keyphrases": [
        {"id": "a", "keyphrases": [keyphrase("subject headings", category="unseen", neighbours=["d", "x"])]},
        {"id": "b", "keyphrases": [keyphrase("drawers", score=0.91), keyphrase("shelves")]},
        {"id": "c", "keyphrases": []},
        {"id": "d", "keyphrases": [keyphrase("fiches")]},
        {"id": "e", "keyphrases": [keyphrase("catalogue")]},
    ],
    "quarantine": [refusal("missing_id", record=b'{"title": "caf\xff"}'), refusal("missing_id"), refusal("no_text")],
}  # fmt: skip


def test_a_full_edition_shows_every_section(make_edition: Callable[..., str]) -> None:
    html = report.build(make_edition(TABLES, **FULL))
    page = Page(html)
    for text in (
        "8 rows read = 5 documents + 3 quarantined",
        "English (en)",
        "1 without a year",
        "tiny-encoder",
        "ab" * 32,
        "lexical.k1",
        "missing_id – 2 of 2",
        'caf\ufffd"',
        "CPU-seconds x 4.0 W",
        "Expected calibration error: 0.018",
        "stems, macro average",
        "subject headings",
    ):
        assert text in page.text, text
    assert "carried by Les fiches d'une bibliothèque; x" in page.text  # a neighbour by title, a lost one by id
    assert page.text.index("F1@5") < page.text.index("F1@10")  # the papers' order
    assert "32.4" in page.text
    assert "26.1" in page.text
    assert "2.00" in page.text  # documents a second: 5 in 2.5 s
    assert "not measured" not in page.text


def test_the_report_is_the_same_each_time(make_edition: Callable[..., str]) -> None:
    path = make_edition(TABLES, **FULL)
    assert report.build(path) == report.build(path)


def test_tables_have_headers_and_plots_have_words(make_edition: Callable[..., str]) -> None:
    page = Page(report.build(make_edition(TABLES, **FULL)))
    tables = len(page.named("table"))
    assert tables == len(page.named("caption")) == len(page.named("thead")) > 5
    assert all(head.get("scope") in {"row", "col"} for head in page.named("th"))
    drawn = [attributes for _, attributes in page.tags if attributes.get("role") == "img"]
    assert len(drawn) == 3
    assert all(attributes["aria-label"] for attributes in drawn)
    assert page.named("html")[0]["lang"] == "en"


@pytest.mark.parametrize("section", [None, *FULL])
def test_a_manifest_without_a_section_still_makes_a_page(make_edition: Callable[..., str], section: str | None) -> None:
    kept = {} if section is None else {key: value for key, value in FULL.items() if key != section}
    page = Page(report.build(make_edition(TABLES, **kept)))
    assert page.text.count("Particulars") == 2  # the link and the heading
    if section in {None, "quality"}:
        assert "Quality was not measured" in page.text
    if section in {None, "counts"}:
        assert "The rows read were not counted." in page.text


@pytest.mark.parametrize(("system", "why"), [("prior", "too few annotated"), ("votes", "as configured")])
@pytest.mark.parametrize("metrics", [{}, FULL["quality"]["metrics"]], ids=["unmeasured", "measured"])
def test_scores_that_are_no_probabilities_are_said_to_be_none(
    make_edition: Callable[..., str], system: str, why: str, metrics: dict[str, Any]
) -> None:
    quality = {"system": system, "calibrated": False, "metrics": metrics, "calibration": None}
    page = Page(report.build(make_edition(TABLES, **FULL | {"quality": quality})))
    assert page.text.count("Scores are no probabilities") == 2  # where quality is shown, and where the scores are
    assert why in page.text
    assert "Scores are no probabilities" not in Page(report.build(make_edition(TABLES, **FULL))).text


def test_no_documents(make_edition: Callable[..., str]) -> None:
    counts = {
        "read": 1,
        "documents": 0,
        "quarantined": 1,
        "annotated": 0,
        "languages": {},
        "years": {},
        "reasons": {"no_text": 1},
    }
    stages = [{"name": "read", "rows_in": 1, "rows_out": 0, "quarantined": 1, "seconds": 0.0, "cpu_seconds": 0.0}]
    page = Page(report.build(make_edition({"quarantine": [refusal("no_text")]}, counts=counts, stages=stages)))
    assert "1 rows read = 0 documents + 1 quarantined" in page.text
    assert "This edition has no keyphrases." in page.text


def test_lost_rows_are_said(make_edition: Callable[..., str]) -> None:
    page = Page(report.build(make_edition({}, counts={"read": 10, "documents": 7, "quarantined": 1})))
    assert "2 are missing" in page.text


def test_hostile_records_stay_text(make_edition: Callable[..., str]) -> None:
    evil = "</style></title><script>alert(1)</script><img src=x onerror=alert(1)>\"'><a href=javascript:alert(1)>"
    evil += "\x1b[31m\u202e"
    shown = evil.replace("\x1b", "\ufffd").replace("\u202e", "\ufffd")
    huge = "endless " * 600_000
    tables = {
        "documents": [
            document(evil, title=evil, abstract=huge, lang=evil, keyphrases=[evil]),
            document("b", abstract="x" * 5_000_000),
        ],
        "keyphrases": [
            {"id": evil, "keyphrases": [keyphrase(evil, category=evil, origins=[evil], neighbours=[evil])]},
            {"id": "b", "keyphrases": [keyphrase("y" * 2_000_000)]},
        ],
        "quarantine": [
            refusal(evil, detail=evil, stage=evil, source=evil, record=evil.encode() + b"\x00\xff" * 4_000_000)
        ],
    }
    counts = {"read": 3, "documents": 2, "quarantined": 1, "languages": {evil: 1, "en": 1}, "reasons": {evil: 1}}
    sections = {
        "models": {evil: {"name": evil}},
        "config": {evil: evil},
        "stages": [{"name": evil, "energy_how": evil}],
    }
    html = report.build(make_edition(tables, counts=counts, **sections))
    page = Page(html)
    assert {"script", "img", "iframe", "link", "object", "base"}.isdisjoint(tag for tag, _ in page.tags)
    for _, attributes in page.tags:
        assert not any(name.startswith("on") or name == "src" for name in attributes)
        assert (attributes.get("href") or "#").startswith("#")
    assert page.text.count(shown) > 10
    assert "\x1b" not in html
    assert "\u202e" not in html
    assert "\x00" not in html
    assert len(html) < 200_000


def test_nothing_is_requested(make_edition: Callable[..., str]) -> None:
    html = report.build(make_edition(TABLES, **FULL))
    policy = [
        meta["content"] for meta in Page(html).named("meta") if meta.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policy
    assert str(policy[0]).startswith("default-src 'none'")
    assert "url(" not in html
    assert "@import" not in html
    assert "http://" not in html
    assert "https://" not in html


def test_many_of_everything_is_bounded(make_edition: Callable[..., str]) -> None:
    counts = {
        "languages": {f"l{i}": i + 1 for i in range(90)},
        "reasons": {f"reason_{i}": 1 for i in range(500)},
        "years": {str(year): 3 for year in (-32768, *range(1000, 2100), 32767)},
    }
    inputs = [{"path": f"part-{i}.jsonl", "bytes": 1, "fingerprint": "f"} for i in range(5000)]
    documents = [document(f"d{i}", lang=f"l{i % 40}") for i in range(200)]
    keyphrases = [{"id": f"d{i}", "keyphrases": [keyphrase("p")] * 30} for i in range(200)]
    html = report.build(make_edition({"documents": documents, "keyphrases": keyphrases}, counts=counts, inputs=inputs))
    assert "79 further languages" in html
    assert "and 4,980 more" in html
    assert len(html) < 200_000


def test_not_an_edition(tmp_path: Any) -> None:
    with pytest.raises(ValueError, match="is not an edition"):
        report.build(str(tmp_path))
