from __future__ import annotations

import numpy as np
import pytest
import torch
from ranking_arrays import made_arrays
from sklearn.metrics import average_precision_score

from kartoteka.encoding.spans import LONGEST, WordPlaces, span_scores
from kartoteka.ragged import pick
from kartoteka.ranking.spans import SpanScorer, Words, span_precisions

ARRAYS = made_arrays()
EVERY = Words(*(torch.from_numpy(values) for values in ARRAYS.words))


def scorer_of(width: int) -> SpanScorer:
    scorer = SpanScorer(width)
    torch.nn.init.normal_(scorer.weight, std=0.1, generator=torch.Generator().manual_seed(0))
    return scorer


@pytest.mark.parametrize("rows", [[3, 0, 7], [4], [4, 1, 9, 4], list(range(30))])
def test_a_finished_model_scores_as_it_learned(rows: list[int]) -> None:
    """What the head says in training is what `encoding.spans` says with what was exported."""
    tokens, offsets = pick(ARRAYS.tokens, ARRAYS.token_offsets, np.array(rows))
    states = torch.randn(len(tokens), 12, generator=torch.Generator().manual_seed(1))
    scorer, words = scorer_of(12), EVERY.of(torch.tensor(rows))
    found = scorer(states, torch.from_numpy(np.diff(offsets)), words).detach().numpy()
    head = scorer.head()
    places = WordPlaces(words.first.numpy(), words.last.numpy(), words.offsets.numpy())
    wanted = span_scores(states.numpy() @ head.projection, head.bias, offsets, places).scores
    inside = np.arange(len(found))[:, None] + np.arange(LONGEST) < np.repeat(places.offsets[1:], words.sizes)[:, None]
    assert found.shape == wanted.shape
    np.testing.assert_allclose(np.clip(found, -15, 15)[inside], wanted[inside], atol=1e-4)


def test_a_made_up_text_has_no_words() -> None:
    words = EVERY.of(torch.tensor([len(EVERY.sizes)]))
    assert words.sizes.tolist() == [0]
    scores = scorer_of(12)(torch.randn(1, 12), torch.ones(1, dtype=torch.int64), words)
    assert scores.shape == (0, LONGEST)
    assert scores.requires_grad  # every worker's parameters have a gradient, were it 0


def test_precision_is_that_of_scikit_learn() -> None:
    scores = torch.randn(len(EVERY.labels), LONGEST, generator=torch.Generator().manual_seed(2))
    found = span_precisions(scores, EVERY)
    some = 0
    for number, value in enumerate(found.tolist()):
        start, stop = EVERY.offsets[number : number + 2].tolist()
        labels, own = EVERY.labels[start:stop].numpy(), scores[start:stop].numpy()
        wanted = 0.0
        if (labels > 0).any():
            some += 1
            wanted = average_precision_score(labels[labels >= 0] > 0, own[labels >= 0])
        assert value == pytest.approx(wanted, abs=1e-5)
    assert 0 < some < len(found)
