"""The ranker that comes with Kartoteka: whole, small, and its head fits its encoder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kartoteka.encoding.encoder import load_encoder
from kartoteka.encoding.spans import read_head, span_scores, words_of
from kartoteka.ranking.directory import RankerFiles, open_ranker
from kartoteka.text.words import stop_words

TITLE = "Query expansion for question answering over knowledge graphs"
ABSTRACT = (
    "We propose a method that extends short queries with related entities. Experiments on two data sets show that "
    "query expansion improves the recall of question answering systems, while the cost remains moderate."
)


@pytest.fixture(scope="module")
def ranker() -> RankerFiles:
    return open_ranker("default")


def test_it_is_whole_and_small_enough_to_ship(ranker: RankerFiles) -> None:
    assert ranker.spans is not None
    assert ranker.identity["name"] == "default"
    files = [file for file in ranker.folder.rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) <= 20_000_000
    card = Path(ranker.folder, "README.md").read_text(encoding="utf-8")
    assert "license: apache-2.0" in card


def test_it_finds_the_keyphrases_of_a_text(ranker: RankerFiles) -> None:
    encoder, head = load_encoder(str(ranker.encoder)), read_head(ranker.spans)
    text = f"{TITLE}{ranker.separator}{ABSTRACT}"
    tokens, places = encoder.tokenise_words([text], ranker.separator)
    _, products = encoder.project(tokens, head.projection)
    scores = span_scores(products, head.bias, tokens.offsets, places).scores
    words = words_of(text, ranker.separator)
    best: dict[str, float] = {}
    for word, length in zip(*np.unravel_index(np.argsort(-scores, axis=None), scores.shape), strict=True):
        if word + length < len(words):
            phrase = text[words[word][0] : words[word + length][1]].lower()
            ends = {phrase.split()[0], phrase.split()[-1]}
            if not ends & stop_words("en"):  # nothing is learned of other spans, but that some are keyphrases
                best.setdefault(phrase, float(scores[word, length]))
    assert {"query expansion", "question answering"} <= set(list(best)[:3])
