"""The classifier by n-grams: its features against scikit-learn's, what it learns, its directory, and torn ones."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file
from scipy.sparse import csr_array
from scipy.special import softmax
from sentiment.sentiment_worlds import opinion
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score

from kartoteka.sentiment.classify import identity_of, open_classifier
from kartoteka.sentiment.grams import Shape, count_grams
from kartoteka.sentiment.ngram_fit import Fitted, fit_ngrams, inverse_frequencies
from kartoteka.sentiment.ngrams import DESCRIPTION, WEIGHTS, features, write_ngrams
from kartoteka.sentiment.settings import NgramSettings
from kartoteka.sentiment.temperature import nll
from kartoteka.sentiment.texts import CLASSES

SMALL = NgramSettings(bits=12, longest=4, strengths=[0.1, 1.0, 30.0])
OPINIONS = [opinion(n) for n in range(240)]
TEXTS = [row["text"] for row in OPINIONS]
NOISE = np.random.default_rng(0)
#: One in six is wrong: nothing is sure of itself and right.
LABELS = np.array([CLASSES.index(row["label"]) for row in OPINIONS])
LABELS = np.where(NOISE.random(240) < 0.17, NOISE.integers(0, 3, 240), LABELS)


@pytest.fixture(scope="module")
def fitted() -> Fitted:
    return fit_ngrams(TEXTS[:120], LABELS[:120], TEXTS[120:180], LABELS[120:180], SMALL, seed=0)


@pytest.fixture
def folder(fitted: Fitted, tmp_path: Path) -> Path:
    write_ngrams(tmp_path, fitted.shape, fitted.parameters, {})
    return tmp_path


@settings(max_examples=30, deadline=None)
@given(
    texts=st.lists(st.text("абв ):", min_size=1, max_size=40), min_size=2, max_size=8),
    bits=st.sampled_from([8, 15]),
    least=st.integers(1, 2),
)
def test_features_are_those_of_scikit_learn_for_tokens_and_for_characters(texts, bits, least):
    shape = Shape(1, 3, bits)
    grams = count_grams(texts, shape)
    counts = csr_array((grams.counts, grams.buckets, grams.offsets), shape=(len(texts), shape.buckets)).toarray()
    found = features(grams, inverse_frequencies(grams, shape.buckets, least)).toarray()
    frequent = (counts > 0).sum(axis=0) >= least
    for half in (slice(0, shape.buckets // 2), slice(shape.buckets // 2, None)):
        model = TfidfTransformer(sublinear_tf=True).fit(counts[:, half])  # its idf, then its norm over what counts
        theirs = model.transform(counts[:, half] * frequent[half]).toarray()
        np.testing.assert_allclose(found[:, half], theirs, atol=1e-6)


def test_the_best_strength_is_kept_and_the_parameters_are_scikit_learns(fitted):
    assert set(fitted.macro_f1) == {0.1, 1.0, 30.0}
    assert fitted.macro_f1[fitted.strength] == max(fitted.macro_f1.values())
    learned = features(count_grams(TEXTS[:120], fitted.shape), fitted.parameters.idf)
    asked = features(count_grams(TEXTS[120:180], fitted.shape), fitted.parameters.idf)
    for strength, score in fitted.macro_f1.items():
        model = LogisticRegression(C=strength, class_weight="balanced", max_iter=1000).fit(learned, LABELS[:120])
        assert score == pytest.approx(f1_score(LABELS[120:180], model.predict(asked), average="macro"), abs=0.02)
        if strength == fitted.strength:
            ours = (asked @ fitted.parameters.weights + fitted.parameters.bias) * fitted.temperature
            np.testing.assert_allclose(softmax(ours, axis=1), model.predict_proba(asked), atol=5e-3)


def test_it_learns_and_its_probabilities_are_calibrated_on_the_held_texts(fitted, folder):
    model = open_classifier(str(folder))
    logits = model.logits(TEXTS[120:180])
    others = [nll(logits * t, LABELS[120:180]) for t in (0.7, 0.9, 1.1, 1.4)]
    assert nll(logits, LABELS[120:180]) <= min(others) + 1e-4
    probabilities, vectors = model.classify(TEXTS[180:])
    assert vectors is None
    assert probabilities.dtype == np.float32
    assert f1_score(LABELS[180:], probabilities.argmax(axis=1), average="macro") > 0.7
    np.testing.assert_allclose(probabilities, softmax(model.logits(TEXTS[180:]), axis=1), atol=1e-6)


def test_a_written_classifier_opens_as_it_was_in_half_precision(fitted, folder):
    model = open_classifier(f"{folder}/")
    assert model.shape == fitted.shape
    for name, array in fitted.parameters._asdict().items():
        kept = array.astype(np.float32 if name == "bias" else np.float16).astype(np.float32)
        assert np.array_equal(getattr(model.parameters, name), kept)
    stored = load_file(folder / WEIGHTS)
    assert {name: array.dtype for name, array in stored.items()} == {
        "weights": np.float16, "idf": np.float16, "bias": np.float32,
    }  # fmt: skip
    digest = hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()
    assert model.identity == identity_of(str(folder)) == {"name": folder.name, "sha256": digest}


def test_equal_texts_give_equal_bits_whatever_stands_beside_them(folder):
    model = open_classifier(str(folder))
    rows = np.random.default_rng(0).integers(0, len(TEXTS), 5000)  # several blocks
    together, _ = model.classify([TEXTS[row] for row in rows])
    alone = np.concatenate([model.classify([text])[0] for text in TEXTS])
    assert np.array_equal(together, alone[rows])


def test_texts_of_any_kind_are_classified(folder):
    model = open_classifier(str(folder))
    probabilities, _ = model.classify(["", " \n", "слово " * 5000, "\ud800", "漢字かな", "😡" * 3000])
    assert np.allclose(probabilities.sum(axis=1), 1, atol=1e-6)
    assert np.array_equal(probabilities[0], probabilities[1])  # nothing is known of either: the bias speaks
    assert model.classify([])[0].shape == (0, 3)


def test_a_torn_or_foreign_directory_is_named(folder):
    weights, about = (folder / WEIGHTS).read_bytes(), (folder / DESCRIPTION).read_bytes()
    values = orjson.loads(about)

    def put(file: str, content: bytes | None) -> None:
        (folder / file).unlink(missing_ok=True)
        if content is not None:
            (folder / file).write_bytes(content)

    other = weights[:-1] + bytes([weights[-1] ^ 1])
    for file, content, message in (
        (WEIGHTS, weights[:-5], rf"{WEIGHTS} is torn"),
        (WEIGHTS, other, rf"{WEIGHTS} is torn"),
        (WEIGHTS, None, rf"cannot read .*{WEIGHTS}: No such file"),
        (DESCRIPTION, about[:-20], rf"{DESCRIPTION} is torn"),
        (DESCRIPTION, None, rf"cannot read .*{DESCRIPTION}"),
        (DESCRIPTION, b"[]", "does not describe a kartoteka-ngrams of format 1"),
        (DESCRIPTION, orjson.dumps(values | {"format": 2}), "does not describe a kartoteka-ngrams of format 1"),
        (DESCRIPTION, orjson.dumps(values | {"classes": ["bad", "good"]}), "tells bad, good apart, not negative"),
    ):
        put(WEIGHTS, weights)
        put(DESCRIPTION, about)
        put(file, content)
        for ask in (open_classifier, identity_of):
            with pytest.raises(ValueError, match=f"^classifier: .*{message}"):
                ask(str(folder))
