"""Markup cannot be broken by text; figures read as a person writes them."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kartoteka.display import clean, clip, duration, papers_order, percent_scale, quantity, size
from kartoteka.report.html import Markup, element, table
from kartoteka.report.plots import histogram, stack


class _Read(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


@given(st.text(), st.text())
def test_text_and_attributes_come_back_as_they_went_in(text: str, attribute: str) -> None:
    page = _Read(element("p", text, title=attribute))
    assert page.tags == [("p", {"title": clean(attribute)})]
    assert page.text == clean(text)


@given(st.text(max_size=300), st.integers(10, 50))
def test_clip_is_short_and_keeps_short_text(text: str, limit: int) -> None:
    line = clip(text, limit)
    assert len(line) <= limit + 1
    assert "\n" not in line
    words = clean(" ".join(text.split()))
    assert line == words if len(words) <= limit and len(text) <= 4 * limit else line.endswith("…")


def test_markup_is_not_escaped_twice() -> None:
    assert element("p", Markup("<b>x</b>"), [1, None, "<"]) == "<p><b>x</b>1&lt;</p>"


def test_a_table_has_headers_for_rows_and_columns() -> None:
    page = _Read(table(["name", "n"], [["a", 1], ["b", 2]], caption="Counts", numeric=(1,)))
    heads = [attributes["scope"] for tag, attributes in page.tags if tag == "th"]
    assert heads == ["col", "col", "row", "row"]


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(None, "–"), (0.0004, "0 ms"), (0.85, "850 ms"), (12.34, "12.3 s"), (245, "4 min 05 s"), (12_000, "3 h 20 min")],
)
def test_durations(seconds: float | None, shown: str) -> None:
    assert duration(seconds) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "–"), (0, "0"), (1234.5, "1,234"), (46.33, "46.3"), (0.0123, "0.0123"), (0.00044, "0.000440")],
)
def test_quantities(value: float | None, shown: str) -> None:
    assert quantity(value) == shown


def test_sizes() -> None:
    assert [size(n) for n in (None, 999, 1500, 2e13)] == ["–", "999 B", "1.5 kB", "20.0 TB"]


def test_metrics_stand_as_in_the_papers() -> None:
    names = ["F1@10", "F1@5", "ROUGE-1", "mixed R@O", "present F1@O", "reordered R@O"]
    ordered = [name for name, _ in sorted(((name, None) for name in names), key=papers_order)]
    assert ordered == ["F1@5", "F1@10", "present F1@O", "reordered R@O", "mixed R@O", "ROUGE-1"]
    assert percent_scale([0.3, 1.0]) == 100
    assert percent_scale([0.3, 30.0]) == 1


@given(st.dictionaries(st.integers(-32768, 32767), st.integers(1, 10**6), min_size=1, max_size=200))
def test_a_histogram_of_any_years_is_bounded(years: dict[int, int]) -> None:
    page = _Read(histogram(years, label="Years"))
    heights = [attributes["style"] for tag, attributes in page.tags if tag == "i"]
    assert 1 <= len(heights) <= 60
    assert "height:100.0%" in heights


def test_a_histogram_counts_every_year_or_says_so() -> None:
    years = dict.fromkeys(range(1950, 2020), 100) | {1: 2, 9999: 3}
    html = histogram(years, label="Years")
    assert "5 outside 1950–2019" in html


def test_a_stack_says_its_shares() -> None:
    page = _Read(stack([("present", 3, "present"), ("unseen", 1, "unseen"), ("mixed", 0, "mixed")], label="Categories"))
    assert page.tags[0][1]["aria-label"] == "Categories: present 75%, unseen 25%, mixed 0%"
