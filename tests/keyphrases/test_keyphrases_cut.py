"""Where a list ends that is assigned as it stands."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kartoteka.keyphrases.cut import Size, best_length, fit_size

_PROBABILITIES = st.lists(st.floats(0, 1), max_size=15).map(lambda some: sorted(some, reverse=True))


def expected_f1(probabilities: list[float], length: int, references: float) -> float:
    return 2 * sum(probabilities[:length]) / (length + references)


@settings(max_examples=200, deadline=None)
@given(_PROBABILITIES, st.floats(1, 12))
def test_no_other_length_is_expected_to_be_better(probabilities: list[float], references: float) -> None:
    length = best_length(probabilities, references)
    assert (length == 0) is (not probabilities)
    ours = expected_f1(probabilities, length, references)
    for other in range(1, len(probabilities) + 1):
        theirs = expected_f1(probabilities, other, references)
        # Of lists that are expected to be equally good the shortest.
        assert theirs < ours + 1e-12
        assert theirs < ours or other >= length or ours - theirs < 1e-12


def test_it_goes_on_while_the_next_is_worth_half_of_what_there_is() -> None:
    assert best_length([0.8, 0.6, 0.35, 0.3, 0.05], 4.0) == 4
    assert best_length([0.8, 0.6, 0.2, 0.2, 0.05], 4.0) == 2
    assert best_length([0.01], 4.0) == 1


def test_lists_cut_so_have_a_better_f1_than_those_of_any_one_length() -> None:
    random = np.random.default_rng(0)
    n, m = 4000, 15
    found = random.beta(0.3, 1.5, (n, m)) * random.uniform(0.3, 1.5, (n, 1))
    found = np.sort(found.clip(0, 1), axis=1)[:, ::-1]
    right = random.random((n, m)) < found
    references = right.sum(1) + random.poisson(2, n)
    offsets = np.arange(0, n * m + 1, m)
    size = fit_size(found.ravel(), found.ravel(), offsets, m, references)
    asked = size.references(found.ravel(), found.ravel(), offsets)
    lengths = np.array([best_length(p, r) for p, r in zip(found, asked, strict=True)])

    def f1(length: np.ndarray) -> float:
        hits = (right & (np.arange(m) < length[:, None])).sum(1)
        return float(np.mean(2 * hits / np.maximum(length + references, 1)))

    assert f1(lengths) > max(f1(np.full(n, k)) for k in range(1, m + 1)) + 0.01


def test_the_number_expected_follows_the_best_candidates_sum() -> None:
    score = np.array([0.9, 0.1, 0.5, 0.5, 0.4, 0.2, 0.0, 0.0])
    offsets = np.array([0, 2, 5, 8])
    sums = np.array([1.0, 1.0, 0.2])  # of the two best of each
    size = fit_size(score, score, offsets, 2, np.array([5, 5, 1]))
    assert size.candidates == 2
    np.testing.assert_allclose(size.base + size.slope * sums, [5, 5, 1])
    np.testing.assert_allclose(size.references(score, score, offsets), [5, 5, 1])
    np.testing.assert_allclose(size.references(-score, score, offsets)[:2], [5, 0.9 * size.slope + size.base])


@pytest.mark.parametrize("score", [[0.5, 0.5], [0.0, 0.0]])
def test_where_all_sums_are_equal_it_is_the_mean(score: list[float]) -> None:
    values = np.array(score)
    size = fit_size(values, values, np.array([0, 1, 2]), 5, np.array([2, 5]))
    assert (size.base, size.slope) == (3.5, 0.0)


def test_it_is_at_least_one() -> None:
    values = np.array([0.5])
    assert Size(-3.0, 1.0, 5).references(values, values, np.array([0, 1, 1])).tolist() == [1.0, 1.0]
