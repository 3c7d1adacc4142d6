"""Trees as arrays against scikit-learn, fitting, calibration and the stored form."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import orjson
import pytest
from keyphrase_worlds import wordless
from sklearn.ensemble import HistGradientBoostingClassifier

from kartoteka.keyphrases.boosting import Trees, _export, fit_trees, mean_of, raw_scores
from kartoteka.keyphrases.calibration import top_candidates
from kartoteka.keyphrases.ranker import Ranker, fit_ranker
from kartoteka.keyphrases.settings import KeyphraseSettings

SETTINGS = KeyphraseSettings(rounds=20, leaves=8, min_training=20, limit=5)


def problem(documents: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Candidates of which the first column tells the right ones, with a known probability."""
    random = np.random.default_rng(seed)
    offsets = np.concatenate([[0], np.cumsum(random.integers(5, 30, documents))])
    rows = random.normal(size=(offsets[-1], 4)).astype(np.float32)
    labels = random.random(offsets[-1]) < 1 / (1 + np.exp(3 - 2 * rows[:, 0]))
    return rows, labels, offsets


def test_the_kernel_gives_the_probabilities_of_scikit_learn() -> None:
    rows, labels, _ = problem(120)
    rows[::7, 1] = 0.0
    model = HistGradientBoostingClassifier(max_iter=30, max_leaf_nodes=12, early_stopping=False, random_state=1)
    model.fit(rows, labels)
    ours = 1 / (1 + np.exp(-raw_scores(_export(model, 0.0), rows)))
    np.testing.assert_allclose(ours, model.predict_proba(rows)[:, 1], rtol=1e-12)


def walked(trees: Trees, row: np.ndarray) -> float:
    """What the trees say of one row, node by node."""
    total = trees.base
    for node in trees.roots:
        while trees.feature[node] >= 0:
            node = (trees.left if row[trees.feature[node]] <= trees.threshold[node] else trees.right)[node]
        total += trees.value[node]
    return total


@pytest.mark.parametrize("count", [1, 31, 32, 33, 300])
def test_log_odds_are_those_of_walking_the_trees(count: int) -> None:
    rows, labels, _ = problem(60)
    trees = fit_trees(rows, labels, 0.5, 20, 9, 0.1, 0)
    # Rows on a threshold, and next to it: a threshold is a float64 between two values that occur
    inner = np.flatnonzero(trees.feature >= 0)[:50]
    for i, node in enumerate(inner):
        near = np.float32(trees.threshold[node])
        rows[i, trees.feature[node]] = (near, np.nextafter(near, np.float32(np.inf)))[i % 2]
    assert raw_scores(trees, rows[:count]).tolist() == [walked(trees, row) for row in rows[:count]]


def test_log_odds_of_trees_that_are_leaves_and_of_no_rows() -> None:
    one = np.zeros(1, np.int32)
    leaf = Trees(one, np.array([-1], np.int16), np.zeros(1), one, one, np.array([0.25]), 1.0)
    assert raw_scores(leaf, np.zeros((3, 2), np.float32)).tolist() == [1.25] * 3
    assert raw_scores(leaf, np.zeros((0, 2), np.float32)).size == 0
    own = Trees(one, np.zeros(1, np.int16), np.zeros(1), one, one, np.zeros(1), 0.0)
    with pytest.raises(ValueError, match="two parents"):
        raw_scores(own, np.zeros((1, 2), np.float32))


def test_the_mean_of_trees_is_the_mean_of_their_log_odds() -> None:
    rows, labels, _ = problem(120)
    some = [fit_trees(rows[i::3], labels[i::3], 0.5, 5 + i, 6, 0.1, i) for i in range(3)]
    expected = np.mean([raw_scores(trees, rows) for trees in some], axis=0)
    np.testing.assert_allclose(raw_scores(mean_of(some), rows), expected, rtol=1e-12)


def test_leaving_out_wrong_candidates_keeps_the_probabilities() -> None:
    rows, labels, _ = problem(1500)
    kept = labels | (np.random.default_rng(1).random(labels.size) < 0.25)
    trees = fit_trees(rows[kept], labels[kept], 0.25, 40, 6, 0.1, 0)
    mean = (1 / (1 + np.exp(-raw_scores(trees, rows)))).mean()
    assert mean == pytest.approx(labels.mean(), rel=0.06)


def test_scores_are_probabilities_on_documents_not_seen() -> None:
    rows, labels, offsets = problem(600)
    ranker = fit_ranker(rows, labels, offsets, list("abcd"), SETTINGS, wordless(len(rows))).ranker
    rows, labels, offsets = problem(600, seed=1)
    order = ranker.order(rows, offsets, wordless(len(rows)))
    top = top_candidates(order, offsets, SETTINGS.limit)
    scores = ranker.probability(order)[top]
    assert scores.min() >= 0
    assert scores.max() <= 1
    bins = np.digitize(scores, np.quantile(scores, np.arange(0.1, 1, 0.1)))
    gaps = [abs(scores[bins == b].mean() - labels[top][bins == b].mean()) * (bins == b).mean() for b in np.unique(bins)]
    assert sum(gaps) < 0.05
    by_order = np.argsort(order)
    assert (np.diff(ranker.probability(order[by_order])) >= 0).all()


def test_training_documents_are_scored_by_trees_that_did_not_see_them() -> None:
    rows, _, offsets = problem(200)
    noise = np.random.default_rng(5).random(len(rows)) < 0.3  # nothing to learn: only memory could tell
    settings = SETTINGS.model_copy(update={"second_look": 0})
    fitted = fit_ranker(rows, noise, offsets, list("abcd"), settings, wordless(len(rows)))
    seen = fitted.ranker.order(rows, offsets, wordless(len(rows)))
    assert seen[noise].mean() - seen[~noise].mean() > 0.1
    assert abs(fitted.held_out[noise].mean() - fitted.held_out[~noise].mean()) < 0.05


@pytest.mark.parametrize("documents", [0, 1, 19])
def test_too_few_documents_give_no_ranker(documents: int) -> None:
    rows, labels, offsets = problem(documents)
    assert fit_ranker(rows, labels, offsets, list("abcd"), SETTINGS, wordless(len(rows))) is None


def test_nothing_right_or_nothing_wrong_gives_no_ranker() -> None:
    rows, labels, offsets = problem(100)
    for same in (np.zeros_like(labels), np.ones_like(labels)):
        assert fit_ranker(rows, same, offsets, list("abcd"), SETTINGS, wordless(len(rows))) is None


def test_a_ranker_comes_back_from_its_bytes_and_they_do_not_vary(tmp_path: Path) -> None:
    rows, labels, offsets = problem(100)
    ranker = fit_ranker(rows, labels, offsets, list("abcd"), SETTINGS, wordless(len(rows))).ranker
    again = fit_ranker(rows, labels, offsets, list("abcd"), SETTINGS, wordless(len(rows))).ranker
    assert ranker.to_bytes() == again.to_bytes()
    path = tmp_path / "ranker.npz"
    path.write_bytes(ranker.to_bytes())
    opened = Ranker.open(path)
    assert opened.names == ("a", "b", "c", "d")
    order = ranker.order(rows, offsets, wordless(len(rows)))
    np.testing.assert_array_equal(opened.order(rows, offsets, wordless(len(rows))), order)
    np.testing.assert_array_equal(opened.probability(order), ranker.probability(order))


def _npz(**arrays: np.ndarray) -> bytes:
    sink = io.BytesIO()
    np.savez(sink, **arrays)
    return sink.getvalue()


def test_a_ranker_of_the_format_before_is_read(tmp_path: Path) -> None:
    rows, labels, offsets = problem(100)
    settings = SETTINGS.model_copy(update={"second_look": 0})
    ranker = fit_ranker(rows, labels, offsets, list("abcd"), settings, wordless(len(rows))).ranker
    with np.load(io.BytesIO(ranker.to_bytes())) as stored:
        arrays = dict(stored)
    head = orjson.loads(arrays["head"].tobytes())
    assert head.pop("second") is None
    arrays["head"] = np.frombuffer(orjson.dumps(head | {"format": 2}), np.uint8)
    path = tmp_path / "ranker.npz"
    path.write_bytes(_npz(**arrays))
    words = wordless(len(rows))
    np.testing.assert_array_equal(Ranker.open(path).order(rows, offsets, words), ranker.order(rows, offsets, words))
    arrays["head"] = np.frombuffer(orjson.dumps(head | {"format": 4}), np.uint8)
    path.write_bytes(_npz(**arrays))
    with pytest.raises(ValueError, match="has format 4"):
        Ranker.open(path)


@pytest.mark.parametrize(
    "content", [b"", b"not an archive", _npz(a=np.zeros(1)), _npz(head=np.array([{"pickled": 1}], dtype=object))]
)
def test_another_file_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "ranker.npz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"ranker: .*ranker\.npz"):
        Ranker.open(path)


def test_best_candidates_of_each_document_equal_ones_in_order() -> None:
    order = np.array([1.0, 3, 3, 2, 5, 5])
    assert top_candidates(order, np.array([0, 4, 4, 6]), 2).tolist() == [1, 2, 4, 5]


@pytest.mark.parametrize("second_look", [0, 6])
def test_more_threads_fit_the_same(second_look) -> None:
    rows, labels, offsets = problem(600)
    settings = SETTINGS.model_copy(update={"second_look": second_look})
    one, four = (
        fit_ranker(rows, labels, offsets, list("abcd"), settings, wordless(len(rows)), threads=threads)
        for threads in (1, 4)
    )
    assert one.ranker.to_bytes() == four.ranker.to_bytes()
    np.testing.assert_array_equal(one.held_out, four.held_out)
