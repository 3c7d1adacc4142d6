"""Rows of an edition's tables, as short as a test wants them."""

from __future__ import annotations

from typing import Any


def document(identity: str, **values: Any) -> dict[str, Any]:
    """A row of `documents`."""
    row = {
        "id": identity,
        "title": f"Title of {identity}",
        "abstract": f"What {identity} is about.",
        "lang": "en",
        "year": 2020,
        "keyphrases": ["card catalogues"],
        "references": [],
        "added": None,
        "source": "archive.jsonl:1",
        "extra": "{}",
    }
    return {**row, **values}


def keyphrase(phrase: str, **values: Any) -> dict[str, Any]:
    """A keyphrase of a row of `keyphrases`."""
    row = {
        "phrase": phrase,
        "score": 0.5,
        "category": "present",
        "origins": ["extracted"],
        "neighbours": [],
        "concept": None,
    }
    return {**row, **values}


def refusal(reason: str, **values: Any) -> dict[str, Any]:
    """A row of `quarantine`."""
    row = {
        "reason": reason,
        "detail": "no id",
        "stage": "read",
        "source": "archive.jsonl:9",
        "id": None,
        "record": b"{}",
    }
    return {**row, **values}
