from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from span_heads import random_head

from kartoteka.encoding.spans import (
    BOUND,
    LONGEST,
    MISSING,
    WordPlaces,
    place_words,
    read_head,
    span_scores,
    words_of,
    write_head,
)
from kartoteka.text.words import lower_words, stem_words, stems


@given(
    st.text("ab cдщ.'s+#-漢é", max_size=30),
    st.text("ab cдщ.'s+#-漢é", max_size=30),
    st.sampled_from([". ", "</s>", " "]),
)
def test_words_are_those_of_the_stems_of_title_then_abstract(title: str, abstract: str, separator: str) -> None:
    text = f"{title}{separator}{abstract}" if title and abstract else title or abstract
    words = stem_words(lower_words([text[a:b] for a, b in words_of(text, separator)]), "en")
    assert words == stems(title, "en") + stems(abstract, "en")


def test_scores_are_those_of_the_formula() -> None:
    random = np.random.default_rng(1)
    head, sizes = random_head(7), [9, 0, 4, 6]
    states = [random.normal(size=(size, 7)).astype(np.float32) for size in sizes]
    first = [np.array(some, np.int16) for some in ([1, 2, 4, 5, 6, 7], [], [], [1, 3])]
    last = [np.array(some, np.int16) for some in ([1, 3, 4, 5, 6, 8], [], [], [2, 4])]
    offsets = np.array([0, 6, 6, 6, 8])
    spans = span_scores(
        np.concatenate(states) @ head.projection, head.bias, np.concatenate([[0], np.cumsum(sizes)]),
        WordPlaces(np.concatenate(first), np.concatenate(last), offsets),
    )  # fmt: skip
    assert spans.scores.shape == (8, LONGEST)
    for text, (start, stop) in enumerate(pairwise(offsets)):
        for s in range(stop - start):
            for k in range(LONGEST):
                wanted = MISSING
                if s + k < stop - start:
                    wanted = head.bias[k] + head.first[k] @ states[text][first[text][s]]
                    wanted += head.last[k] @ states[text][last[text][s + k]]
                    wanted = np.clip(wanted, -BOUND, BOUND)
                assert spans.scores[start + s, k] == pytest.approx(wanted, abs=1e-4)


def test_no_span_is_scored_beyond_the_bound() -> None:
    places = WordPlaces(np.array([0, 1], np.int16), np.array([0, 1], np.int16), np.array([0, 2]))
    projected = np.repeat([[100.0], [-100.0]], 2 * LONGEST, axis=1).astype(np.float32)
    scores = span_scores(projected, np.zeros(LONGEST, np.float32), np.array([0, 2]), places).scores
    assert scores[:, 0].tolist() == [BOUND, -BOUND]
    assert scores[1, 1] == MISSING < -BOUND


@pytest.mark.parametrize(
    ("stop", "wanted"), [(99, [[1, 3, 5, 7], [2, 3, 5, 7]]), (13, [[1, 3], [2, 3]]), (4, [[], []]), (5, [[1], [2]])]
)
def test_words_lie_where_their_characters_do(stop: int, wanted: list[list[int]]) -> None:
    """Of 0:5 6:8 10:14 (whose token is another's) 15:16 18:20, which has no token and none behind it."""
    tokens = np.array([[0, 0], [0, 3], [3, 5], [6, 8], [8, 9], [9, 14], [0, 0], [15, 17], [0, 0]])
    places = place_words([(0, 5), (6, 8), (10, 14), (15, 16), (18, 20)], tokens, stop)
    assert places.dtype == np.int16
    assert places.tolist() == wanted


def test_a_word_without_a_token_stands_at_the_next() -> None:
    assert place_words([(0, 1), (2, 3), (4, 5)], np.array([[0, 1], [4, 5]]), 5).tolist() == [[0, 1, 1], [0, 1, 1]]
    assert place_words([], np.zeros((0, 2), np.int64), 5).shape == (2, 0)


def test_a_head_on_disk_is_read_as_it_was(tmp_path: Path) -> None:
    write_head(tmp_path / "spans.safetensors", random_head(7))
    for ours, theirs in zip(read_head(tmp_path / "spans.safetensors"), random_head(7), strict=True):
        np.testing.assert_array_equal(ours, theirs)
        assert ours.dtype == np.float32


def test_a_file_that_is_no_head_is_named(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    with pytest.raises(ValueError, match=r"absent\.safetensors"):
        read_head(tmp_path / "absent.safetensors")
    (tmp_path / "torn.safetensors").write_bytes(b"torn")
    with pytest.raises(ValueError, match=r"torn\.safetensors"):
        read_head(tmp_path / "torn.safetensors")
    head = random_head(7)._asdict()
    for number, wrong in enumerate(
        [head | {"bias": head["bias"][1:]}, head | {"last": head["last"][:, 1:]}, {"bias": head["bias"]},
         head | {"more": head["bias"]}, {name: values.astype(np.float16) for name, values in head.items()}]
    ):  # fmt: skip
        save_file(
            {name: np.ascontiguousarray(some) for name, some in wrong.items()}, tmp_path / f"{number}.safetensors"
        )
        with pytest.raises(ValueError, match=rf"{number}\.safetensors"):
            read_head(tmp_path / f"{number}.safetensors")


def test_a_head_for_another_encoder_is_refused(tmp_path: Path) -> None:
    write_head(tmp_path / "spans.safetensors", random_head(7))
    assert read_head(tmp_path / "spans.safetensors", 7).first.shape[1] == 7
    with pytest.raises(ValueError, match="states of 7 numbers, beside an encoder of 8"):
        read_head(tmp_path / "spans.safetensors", 8)
