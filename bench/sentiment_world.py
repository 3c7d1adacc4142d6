"""What the sentiment benches learn from and measure on, and the simple model that stands beside every other."""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kartoteka.evaluation.classification import GoldTexts
from kartoteka.sentiment.texts import CLASSES, UNLABELLED, Texts, held_out, read_texts, side_keys, without_copies

RECIPE = Path(__file__).with_name("sentiment.toml")
TEST_SHARE = 0.2


@dataclass(frozen=True)
class World:
    """What is learned from, what is measured on, and texts whose labels nobody is shown.

    `posts`: of the source that is learned from; `others`: of other sources.
    """

    train: Texts
    test: GoldTexts
    posts: Texts
    others: Texts


def divide(options: argparse.Namespace, labels: dict[str, str]) -> World:
    """Held out by the hash of their first words; whatever begins like a text held out is in no other part."""
    gold = without_copies(read_texts([options.gold], labels))
    sides = side_keys(gold.texts)
    measured = held_out(sides, TEST_SHARE, "bench")
    known = np.array(gold.labels) != UNLABELLED
    test = gold.take(np.flatnonzero(measured & known))
    learned = np.flatnonzero(~measured & known)
    if options.gold_texts:
        learned = np.sort(np.random.default_rng(0).permutation(learned)[: options.gold_texts])
    others = without_copies(read_texts(options.texts, labels))
    rows = np.flatnonzero(~np.isin(side_keys(others.texts), sides[measured]))
    if options.other_texts:
        rows = np.sort(np.random.default_rng(0).permutation(rows)[: options.other_texts])
    told = GoldTexts(CLASSES, test.ids, test.texts, test.sources, np.array(test.labels, np.int64))
    posts = gold.take(np.setdiff1d(np.flatnonzero(~measured), learned))
    return World(gold.take(learned), told, posts, others.take(rows))


def write(file: Path, texts: Texts, *, hidden: bool) -> str:
    """`texts` as JSON Lines, their labels left out if `hidden`; the file's name."""
    with file.open("w", encoding="utf-8") as out:
        for name, text, label, source in zip(texts.ids, texts.texts, texts.labels, texts.sources, strict=True):
            row = {"id": name, "text": text, "source": source, "label": None if hidden else CLASSES[label]}
            out.write(json.dumps(row, ensure_ascii=False) + "\n")
    return str(file)


def simple_model() -> Any:
    """Logistic regression over TF-IDF of words, word pairs and 2 to 5 characters: a pipeline of scikit-learn."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline, make_union

    features = make_union(
        TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True),
        TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), min_df=2, sublinear_tf=True),
    )
    return make_pipeline(features, LogisticRegression(C=3, class_weight="balanced", max_iter=300))


def baseline(world: World) -> np.ndarray:
    """Labels of the test texts by the simple model."""
    return simple_model().fit(world.train.texts, world.train.labels).predict(world.test.texts)
