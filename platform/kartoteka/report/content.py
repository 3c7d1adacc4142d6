"""The sections on what the edition holds: its documents, their keyphrases with reasons, and the rows it refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kartoteka.card import Card, Keyphrase
from kartoteka.display import clip, number, scores_note
from kartoteka.edition import Edition
from kartoteka.report import examples, plots
from kartoteka.report.html import Child, Markup, element, join

CATEGORIES = {
    "present": "stands in the text",
    "reordered": "its words stand in the text, elsewhere or in another order",
    "mixed": "some of its words stand in the text",
    "unseen": "none of its words do",
}
_LANGUAGES = {
    "ar": "Arabic", "cs": "Czech", "da": "Danish", "de": "German", "el": "Greek", "en": "English", "es": "Spanish",
    "fi": "Finnish", "fr": "French", "hu": "Hungarian", "it": "Italian", "ja": "Japanese", "la": "Latin",
    "nl": "Dutch", "no": "Norwegian", "pl": "Polish", "pt": "Portuguese", "ro": "Romanian", "ru": "Russian",
    "sv": "Swedish", "tr": "Turkish", "uk": "Ukrainian", "zh": "Chinese",
}  # fmt: skip
_MOST_BARS = 12
_ABSTRACT = 320
_PHRASES = 5
_NEIGHBOURS = 2


def absent(what: str) -> Markup:
    """What stands where a figure was not measured."""
    return element("p", what, class_="none")


def language(code: str) -> str:
    """`English (en)`, or the bare code where we have no name for it."""
    return f"{_LANGUAGES[code]} ({code})" if code in _LANGUAGES else code


def documents(counts: Mapping[str, Any]) -> Markup:
    """Languages and years."""
    languages = counts.get("languages") or {}
    years = {int(year): n for year, n in (counts.get("years") or {}).items()}
    total = sum(languages.values())
    dated = sum(years.values())
    undated = max(0, counts.get("documents", dated) - dated)
    left = (
        plots.bars(
            ["language", "documents", "share"],
            [([language(k), number(n), f"{n / total:.1%}"], n) for k, n in _top(languages, "further languages")],
            caption="Documents by language",
            numeric=(1, 2),
        )
        if total
        else absent("Languages were not counted.")
    )
    right = plots.histogram(years, label="Documents by year") if dated else absent("No document has a year.")
    missing = element("p", f"{undated:,} without a year.", class_="soft small") if dated and undated else None
    return element(
        "div",
        element("div", element("h3", "Languages"), left),
        element("div", element("h3", "Years"), right, missing),
        class_="two",
    )


def _top(counts: Mapping[str, int], rest: str) -> list[tuple[str, int]]:
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    if len(ordered) <= _MOST_BARS:
        return ordered
    others = ordered[_MOST_BARS - 1 :]
    return [*ordered[: _MOST_BARS - 1], (f"{len(others)} {rest}", sum(n for _, n in others))]


def keyphrases(edition: Edition) -> Markup:
    """Category shares, then a few documents of each language with the reasons for each phrase."""
    shares = examples.shares(edition)
    if shares is None or not shares.phrases:
        return absent("This edition has no keyphrases.")
    parts = [(name, shares.categories.get(name, 0), name) for name in CATEGORIES]
    note = scores_note(edition.manifest.get("quality") or {})
    per_document = shares.phrases / shares.documents
    over = f"{shares.phrases:,} keyphrases of {shares.documents:,} documents, {per_document:.1f} each"
    over += ", in a sample spread over the edition." if shares.sampled else "."
    meaning = "; ".join(f"{name}: {what}" for name, what in CATEGORIES.items())
    origins = [
        ([k, number(n), f"{n / shares.phrases:.1%}"], n) for k, n in _top(shares.origins, "further combinations")
    ]
    return join(
        [
            element("p", over),
            note and element("p", note),
            element("h3", "Where a phrase stands"),
            plots.stack(parts, label="Categories of keyphrases"),
            element("p", f"{meaning[0].upper()}{meaning[1:]}.", class_="soft small"),
            element("h3", "Where it came from"),
            plots.bars(["origin", "keyphrases", "share"], origins, caption="Keyphrases by origin", numeric=(1, 2)),
            _examples(examples.documents(edition)),
        ]
    )


def _examples(chosen: Mapping[str, list[Card]]) -> Markup:
    return join(
        Markup(element("h3", f"Examples: {language(code)}") + element("div", map(_card, cards), class_="cards"))
        for code, cards in chosen.items()
    )


def _card(card: Card) -> Markup:
    facts = " · ".join(filter(None, [str(card.year) if card.year is not None else None, clip(card.id, 80)]))
    own = (
        element("p", "Its own: ", clip("; ".join(card.own), 240), class_="small soft", dir="auto") if card.own else None
    )
    phrases = card.keyphrases or ()
    more = element("p", f"and {len(phrases) - _PHRASES} more", class_="small soft") if len(phrases) > _PHRASES else None
    return element(
        "article",
        element("h4", clip(card.title, 200) or "(no title)", dir="auto"),
        element("p", facts, class_="small soft"),
        element("p", clip(card.abstract, _ABSTRACT), lang=card.lang, dir="auto"),
        own,
        element("ol", map(_phrase, phrases[:_PHRASES])),
        more,
        class_="card",
    )


def _phrase(k: Keyphrase) -> Markup:
    line = element(
        "div",
        element("strong", clip(k.phrase, 120), dir="auto"),
        plots.meter(k.score),
        element("span", f"{k.score:.2f}", class_="score"),
        class_="phrase",
    )
    tag = element("span", k.category, class_=f"tag {k.category}" if k.category in CATEGORIES else "tag")
    why: list[Child] = [tag, " · ", ", ".join(k.origins)]
    for i, neighbour in enumerate(k.neighbours[:_NEIGHBOURS]):
        why += [", carried by " if i == 0 else "; ", element("cite", clip(neighbour.title or neighbour.id, 70))]
    if len(k.neighbours) > _NEIGHBOURS:
        why.append(f" and {len(k.neighbours) - _NEIGHBOURS} more")
    return element("li", line, element("p", why, class_="why"))


def quarantine(edition: Edition, counts: Mapping[str, Any]) -> Markup:
    """Reasons with their counts, and how some of the refused rows begin."""
    reasons = counts.get("reasons") or {}
    refused = examples.refused(edition)
    if not reasons and not refused:
        return absent("No row was refused.")
    total = sum(reasons.values()) or 1
    rows = [([k, number(n), f"{n / total:.1%}"], n) for k, n in _top(reasons, "further reasons")]
    shown = [
        element(
            "details",
            element("summary", clip(reason, 80), f" – {len(few)} of {number(reasons.get(reason, len(few)))}"),
            [_refused(row) for row in few],
            open=i == 0,
        )
        for i, (reason, few) in enumerate(refused.items())
    ]
    return element(
        "div",
        element(
            "div",
            element("h3", "Reasons"),
            plots.bars(["reason", "rows", "share"], rows, caption="Refused rows by reason", numeric=(1, 2)),
        ),
        element("div", element("h3", "Examples"), shown or absent("No quarantined row is in the edition.")),
        class_="two",
    )


def _refused(row: examples.Refused) -> Markup:
    return Markup(
        element("p", clip(row.detail, 300), class_="small facts")
        + element("p", element("code", clip(row.source, 200)), f", at {row.stage}", class_="small soft")
        + element("pre", clip(row.record, examples.RECORD_BYTES) or "(an empty record)", dir="auto")
    )
