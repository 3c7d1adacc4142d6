"""The second look: candidates beside each other against sets of words, and what it learns that the first cannot."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from keyphrase_worlds import build_suggester, journal, nobody, table

from kartoteka.keyphrases.boosting import raw_scores
from kartoteka.keyphrases.calibration import top_candidates
from kartoteka.keyphrases.context import CONTEXT, INSIDE, MISSING, NEW_WORDS, Wording, context
from kartoteka.keyphrases.phrases import language_column
from kartoteka.keyphrases.ranker import fit_ranker
from kartoteka.keyphrases.second import look
from kartoteka.keyphrases.settings import KeyphraseSettings
from kartoteka.text.words import phrase_key

SETTINGS = KeyphraseSettings(rounds=20, leaves=8, min_training=20, limit=5)


def worded(sets: list[set[int]]) -> Wording:
    return Wording(
        np.concatenate([[0], np.cumsum([len(words) for words in sets])]).astype(np.int64),
        np.array([word for words in sets for word in sorted(words)], np.int64),
    )


def by_hand(order: list[float], sets: list[set[int]]) -> np.ndarray:
    """`CONTEXT` of the candidates of one document, best first."""
    found = np.full((len(order), len(CONTEXT)), MISSING)
    for i, own in enumerate(sets):
        others = [(score, words) for j, (score, words) in enumerate(zip(order, sets, strict=True)) if j != i]
        relations = (
            lambda words, own=own: own < words,
            lambda words, own=own: words < own,
            lambda words, own=own: words == own,
            lambda words, own=own: own & words and not (own <= words or words <= own),
        )
        best = [max([s for s, words in others if words and holds(words)], default=MISSING) for holds in relations]
        said = set().union(*sets[:i])
        found[i] = [order[i], *best, len(own - said) / len(own)]
    return found


def test_candidates_beside_each_other_as_sets_of_words_have_it() -> None:
    random = np.random.default_rng(3)
    sets = [set(random.choice(8, random.integers(1, 4), replace=False).tolist()) for _ in range(60)]
    offsets = np.array([0, 25, 25, 60])
    order = random.normal(size=60)
    top, beside = look(np.zeros((60, 2), np.float32), order, offsets, worded(sets), 12)
    expected = []
    for start, stop in pairwise(offsets):
        best = start + np.argsort(-order[start:stop], kind="stable")[:12]
        if len(best):
            expected.append(by_hand(order[best].tolist(), [sets[row] for row in best]))
    np.testing.assert_array_equal(top, top_candidates(order, offsets, 12))
    np.testing.assert_allclose(beside[:, 2:], np.concatenate(expected), rtol=1e-6)


def test_no_candidates_are_no_rows() -> None:
    empty = np.zeros(0, np.int64)
    assert context(np.zeros(0), empty, np.zeros(3, np.int64), worded([])).shape == (0, len(CONTEXT))


def test_the_words_of_candidates_are_those_of_their_phrases(tmp_path_factory: pytest.TempPathFactory) -> None:
    records = journal("en")[:60] + journal("ru")[:60]
    settings = KeyphraseSettings(retrieval="lexical", neighbours=8)
    suggester = build_suggester(records, tmp_path_factory.mktemp("archive"), settings)
    found = suggester.candidates(table(records), None, nobody(len(records)))
    column = language_column(suggester.archive.languages)
    known, unknown = {}, {}
    for d, record in enumerate(records):
        for c in range(found.pool.offsets[d], found.pool.offsets[d + 1]):
            words = frozenset(found.named.words[found.named.offsets[c] : found.named.offsets[c + 1]].tolist())
            if found.pool.phrase[c] >= 0:
                known.setdefault((int(found.pool.phrase[c]), column[record["lang"]]), set()).add(words)
            else:
                key = frozenset(phrase_key(found.terms.phrases[found.pool.term[c]], record["lang"]).split(" "))
                unknown.setdefault(key, set()).add(words)
                assert len(words) == len(key)
    assert known
    assert unknown
    assert all(len(forms) == 1 for forms in (*known.values(), *unknown.values()))
    for (one, (first,)), (two, (second,)) in pairwise(unknown.items()):
        assert len(one & two) == len(first & second)


def contest(documents: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, Wording]:
    """Pairs of candidates, one inside the other: the better one of each pair is right, whatever its own figure."""
    random = np.random.default_rng(seed)
    offsets = np.arange(0, 8 * documents + 1, 8)
    rows = random.normal(size=(8 * documents, 3)).astype(np.float32)
    pairs = rows[:, 0].reshape(-1, 2)
    labels = np.zeros(len(rows), bool)
    labels[2 * np.arange(len(pairs)) + pairs.argmax(axis=1)] = True
    sets = [{10 * (row // 2), 10 * (row // 2) + 1} if row % 2 else {10 * (row // 2)} for row in range(len(rows))]
    return rows, labels, offsets, worded(sets)


def right(order: np.ndarray, labels: np.ndarray, offsets: np.ndarray) -> float:
    return float(labels[top_candidates(order, offsets, 4)].mean())


def test_which_of_two_nested_phrases_is_chosen_takes_a_second_look() -> None:
    rows, labels, offsets, named = contest(400, 0)
    fitted = {
        looks: fit_ranker(rows, labels, offsets, list("abc"), SETTINGS.model_copy(update={"second_look": looks}), named)
        for looks in (0, 40)
    }
    assert fitted[0].ranker.second is None
    rows, labels, offsets, named = contest(400, 1)
    once, twice = (right(fitted[k].ranker.order(rows, offsets, named), labels, offsets) for k in (0, 40))
    assert twice > once + 0.05


def test_candidates_below_the_second_look_keep_their_log_odds() -> None:
    rows, labels, offsets, named = contest(200, 0)
    settings = SETTINGS.model_copy(update={"second_look": 3})
    ranker = fit_ranker(rows, labels, offsets, list("abc"), settings, named).ranker
    first = raw_scores(ranker.trees, rows)
    changed = ranker.order(rows, offsets, named) != first
    assert set(np.flatnonzero(changed)) <= set(top_candidates(first, offsets, 3).tolist())
    assert changed.mean() > 0.3


def test_held_out_log_odds_know_nothing_of_their_document() -> None:
    rows, _, offsets, named = contest(200, 0)
    noise = np.random.default_rng(5).random(len(rows)) < 0.3  # nothing to learn: only memory could tell
    settings = SETTINGS.model_copy(update={"rounds": 100, "leaves": 24})
    fitted = fit_ranker(rows, noise, offsets, list("abc"), settings, named)
    seen = fitted.ranker.order(rows, offsets, named)
    assert seen[noise].mean() - seen[~noise].mean() > 0.1
    assert abs(fitted.held_out[noise].mean() - fitted.held_out[~noise].mean()) < 0.08


def test_best_candidates_that_are_all_right_leave_the_first_trees_alone() -> None:
    rows, _, offsets, named = contest(100, 0)
    labels = np.zeros(len(rows), bool)
    labels[top_candidates(rows[:, 0].astype(float), offsets, 1)] = True
    settings = SETTINGS.model_copy(update={"second_look": 1})
    rows[:, 0] = labels  # what is best is plain to see
    assert fit_ranker(rows, labels, offsets, list("abc"), settings, named).ranker.second is None


def test_columns_are_where_their_names_say() -> None:
    found = context(np.array([2.0, 1.0]), np.array([0, 1]), np.array([0, 2]), worded([{1, 2}, {1}]))
    assert found[1, INSIDE] == 2
    assert found[1, NEW_WORDS] == 0
