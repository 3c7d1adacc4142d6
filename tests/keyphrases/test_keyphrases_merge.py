"""Duplicates, classes and the cut of a document's list."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from kartoteka.keyphrases.merge import ORIGINS, Candidate, keyphrases, merge_duplicates
from kartoteka.keyphrases.settings import KeyphraseSettings
from kartoteka.text.prmu import category
from kartoteka.text.words import phrase_key, stems

TITLE, ABSTRACT = "Walking robots", "We let robots walk over ice and measure the gait of each robot."


def candidate(phrase: str, score: float = 0.5, origin: str = "neighbour", *neighbours: str) -> Candidate:
    return Candidate(phrase, score, (origin,), neighbours)


def test_forms_of_one_phrase_become_the_first_with_the_reasons_of_all() -> None:
    merged = merge_duplicates(
        [candidate("robots", 0.9, "extracted", "a", "b"), candidate("Robot", 0.4, "neighbour", "b", "c")], "en", 5
    )
    assert list(merged.values()) == [Candidate("robots", 0.9, ("neighbour", "extracted"), ("a", "b", "c"))]


def test_beyond_the_limit_each_class_is_filled_up() -> None:
    given_ = [candidate(p, s) for p, s in (("gait", 0.9), ("ice", 0.8), ("robots", 0.7), ("walking dogs", 0.3))]
    given_ += [candidate("swimming", 0.2), candidate("flying", 0.1), candidate("diving", 0.05)]
    found = keyphrases(given_, TITLE, ABSTRACT, "en", KeyphraseSettings(limit=2, per_category=1))
    assert [(k.phrase, k.category) for k in found] == [
        ("gait", "present"), ("ice", "present"), ("walking dogs", "mixed"), ("swimming", "unseen"),
    ]  # fmt: skip


def test_nothing_below_the_least_score_is_kept() -> None:
    given_ = [candidate("gait", 0.9), candidate("swimming", 0.2)]
    found = keyphrases(given_, TITLE, ABSTRACT, "en", KeyphraseSettings(min_score=0.5))
    assert [k.phrase for k in found] == ["gait"]


def test_a_list_to_be_assigned_ends_where_its_expected_f1_is_greatest() -> None:
    given_ = [candidate("gait", 0.8), candidate("Gait", 0.7), candidate("ice", 0.35)]
    given_ += [candidate("robots", 0.1), candidate("swimming", 0.05)]
    asked = [keyphrases(given_, TITLE, ABSTRACT, "en", KeyphraseSettings(limit=3), references=r) for r in (1, 4, 40)]
    # The same phrase twice counts once; `limit` holds; no class is filled up.
    assert [[k.phrase for k in found] for found in asked] == [["gait"], ["gait", "ice"], ["gait", "ice", "robots"]]


_WORD = st.sampled_from(["robot", "robots", "Walk", "walking", "ice", "sea", "лёд", "льда", "!", "e-mail"])
_CANDIDATES = st.lists(
    st.builds(
        Candidate,
        st.lists(_WORD, min_size=1, max_size=3).map(" ".join),
        st.floats(0, 1),
        st.sets(st.sampled_from(ORIGINS), min_size=1).map(lambda some: tuple(o for o in ORIGINS if o in some)),
        st.lists(st.sampled_from("abcdefgh"), unique=True, max_size=5).map(tuple),
    ),
    max_size=30,
)


@settings(max_examples=80, deadline=None)
@given(_CANDIDATES, st.integers(1, 12), st.integers(0, 4))
def test_lists_hold_each_phrase_once_in_order_with_its_class(given_: list[Candidate], limit: int, fill: int) -> None:
    given_.sort(key=lambda c: -c.score)
    found = keyphrases(given_, TITLE, ABSTRACT, "en", KeyphraseSettings(limit=limit, per_category=fill))
    keys = [phrase_key(k.phrase, "en") for k in found]
    distinct = list(dict.fromkeys(k for k in (phrase_key(c.phrase, "en") for c in given_) if k))
    assert keys[:limit] == distinct[:limit]
    assert len(set(keys)) == len(keys)
    assert [k.score for k in found] == sorted((k.score for k in found), reverse=True)
    title, abstract = stems(TITLE, "en"), stems(ABSTRACT, "en")
    assert [k.category for k in found] == [category(key, title, abstract) for key in keys]
    assert all(count <= fill for count in Counter(k.category for k in found[limit:]).values())
    for k in found:
        alike = [c for c in given_ if phrase_key(c.phrase, "en") == phrase_key(k.phrase, "en")]
        assert set(k.origins) == {origin for c in alike for origin in c.origins}
        assert len(k.neighbours) <= 5
        assert set(k.neighbours) <= {number for c in alike for number in c.neighbours}
