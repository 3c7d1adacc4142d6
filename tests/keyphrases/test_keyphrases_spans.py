"""Candidates read in place, against a search of the stems written out by hand."""

from __future__ import annotations

from itertools import pairwise
from math import exp, log
from pathlib import Path

import numpy as np
import pytest
from keyphrase_worlds import build_suggester, journal, nobody, record, table

from kartoteka.encoding.spans import LONGEST, MISSING, Spans
from kartoteka.keyphrases.archive import LONGEST_PHRASE
from kartoteka.keyphrases.phrases import build_phrases, count_uses
from kartoteka.keyphrases.settings import KeyphraseSettings
from kartoteka.keyphrases.spans import BELOW_BEST, BEST, FIRST, SPANS, SUM, Trained
from kartoteka.keyphrases.suggest import Suggester
from kartoteka.text.words import phrase_key, stems

SETTINGS = KeyphraseSettings(retrieval="lexical", neighbours=8)


def trained_of(records: list[dict], read: list[int] | None = None, seed: int = 0) -> Trained:
    """Random scores of every span, of the first `read` words of each document where given."""
    lengths = [len(stems(r["title"], r["lang"])) + len(stems(r["abstract"], r["lang"])) for r in records]
    lengths = lengths if read is None else [min(pair) for pair in zip(lengths, read, strict=True)]
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    scores = np.random.default_rng(seed).normal(-2, 3, (int(offsets[-1]), LONGEST)).astype(np.float32)
    for start, stop in pairwise(offsets):
        for words in range(2, LONGEST + 1):
            scores[max(start, stop - words + 1) : stop, words - 1] = MISSING
    return Trained(np.zeros((len(records), 2), np.float32), Spans(scores, offsets))


def by_hand(r: dict, forms: set[tuple[str, ...]], scores: np.ndarray) -> list[float]:
    """The scores of all places where one of the `forms` of a phrase stands, in order."""
    title, abstract = stems(r["title"], r["lang"]), stems(r["abstract"], r["lang"])
    found = []
    for before, words in ((0, title), (len(title), abstract)):
        for i in range(len(words)):
            for k in range(1, LONGEST + 1):
                inside = i + k <= len(words) and before + i + k <= len(scores)
                if inside and tuple(words[i : i + k]) in forms:
                    found.append(float(scores[before + i, k - 1]))
    return found


@pytest.fixture(scope="module")
def records() -> list[dict]:
    return journal("en")[:60] + journal("ru")[:60]


@pytest.fixture(scope="module")
def suggester(records: list[dict], tmp_path_factory: pytest.TempPathFactory) -> Suggester:
    return build_suggester(records, tmp_path_factory.mktemp("archive"), SETTINGS)


def forms_of(suggester: Suggester, records: list[dict]) -> dict[int, set[tuple[str, ...]]]:
    """The stems by which each phrase of the archive is known."""
    uses = count_uses([r["keyphrases"] for r in records], [r["lang"] for r in records])
    phrases = build_phrases(uses, suggester.archive.languages, LONGEST_PHRASE)
    assert phrases.surfaces == suggester.archive.surfaces.to_pylist()
    claimed: dict[str, int] = {}
    for phrase, _, key in phrases.forms:
        claimed.setdefault(key, phrase)
    forms: dict[int, set[tuple[str, ...]]] = {p: set() for p in range(len(phrases.surfaces))}
    for key, phrase in claimed.items():
        forms[phrase].add(tuple(key.split(" ")))
    return forms


@pytest.mark.parametrize("read", [None, 40, 0], ids=["whole", "cut", "nothing"])
def test_every_place_is_read_where_the_stems_are(suggester: Suggester, records: list[dict], read: int | None) -> None:
    asked = records[:20] + records[60:80]
    trained = trained_of(asked, None if read is None else [read] * len(asked))
    own = np.concatenate([np.arange(20), np.arange(60, 80)])
    found = suggester.candidates(table(asked), None, own, trained=trained)
    assert found.names[-len(SPANS) :] == list(SPANS)
    forms, rows, pool, spans = forms_of(suggester, records), found.rows[:, -len(SPANS) :], found.pool, trained.spans
    stand = terms = 0
    for d, r in enumerate(asked):
        scores, inside = spans.scores[spans.offsets[d] : spans.offsets[d + 1]], []
        for row in range(pool.offsets[d], pool.offsets[d + 1]):
            p = pool.phrase[row]
            key = None if p >= 0 else tuple(phrase_key(found.terms.phrases[pool.term[row]], r["lang"]).split(" "))
            wanted = by_hand(r, forms[p] if p >= 0 else {key}, scores)
            if not wanted:
                assert rows[row].tolist() == [MISSING] * len(SPANS)
                continue
            assert rows[row, BEST] == max(wanted)
            assert rows[row, FIRST] == wanted[0]
            assert rows[row, SUM] == pytest.approx(log(sum(map(exp, wanted))), abs=1e-4)
            inside.append(row)
            stand, terms = stand + (p >= 0), terms + (p < 0)
        if inside:
            best = rows[inside, BEST].max()
            np.testing.assert_array_equal(rows[inside, BELOW_BEST], rows[inside, BEST] - best)
    assert (min(stand, terms) > 100) == (read != 0)


def test_a_span_across_title_and_abstract_is_no_place(tmp_path: Path) -> None:
    phrases = ["sea robots", "robots", "x ray of one two three four"]
    archive = [record(i, "Sea robots", "They walk.", phrases) for i in range(4)]
    world = build_suggester(archive, tmp_path, SETTINGS)
    asked = [record(9, "Deep sea", "Robots walk. Sea robots swim. An x ray of one two three four.", [])]
    trained = trained_of(asked)
    found = world.candidates(table(asked), None, nobody(1), trained=trained)
    scores, places = trained.spans.scores, {}
    for row, p in enumerate(found.pool.phrase.tolist()):
        places[world.archive.surfaces[p].as_py() if p >= 0 else found.terms.phrases[found.pool.term[row]]] = row
    rows = found.rows[:, -len(SPANS) :]
    assert rows[places["sea robots"], BEST] == rows[places["sea robots"], FIRST] == scores[4, 1]
    assert rows[places["robots"], FIRST] == scores[2, 0]
    assert rows[places["robots"], SUM] == pytest.approx(np.logaddexp(scores[2, 0], scores[5, 0]), abs=1e-5)
    assert rows[places["x ray of one two three four"]].tolist() == [MISSING] * len(SPANS)  # longer than a span


def test_a_document_is_read_the_same_alone_and_among_others(suggester: Suggester, records: list[dict]) -> None:
    asked = records[:9]
    trained = trained_of(asked)
    together = suggester.candidates(table(asked), None, nobody(9), trained=trained)
    for d in range(9):
        alone = suggester.candidates(table(asked[d : d + 1]), None, nobody(1), trained=trained.slice(d, d + 1))
        rows = slice(together.pool.offsets[d], together.pool.offsets[d + 1])
        np.testing.assert_array_equal(alone.rows, together.rows[rows])


def test_float16_scores_are_read_as_they_are(suggester: Suggester, records: list[dict]) -> None:
    trained = trained_of(records[:5])
    halves = trained._replace(spans=trained.spans._replace(scores=trained.spans.scores.astype(np.float16)))
    whole = suggester.candidates(table(records[:5]), None, nobody(5), trained=trained).rows
    found = suggester.candidates(table(records[:5]), None, nobody(5), trained=halves).rows
    np.testing.assert_array_equal(found[:, -len(SPANS)], whole[:, -len(SPANS)].astype(np.float16))


def test_without_a_head_there_are_no_columns(suggester: Suggester, records: list[dict]) -> None:
    plain = suggester.candidates(table(records[:3]), None, nobody(3))
    trained = trained_of(records[:3])._replace(spans=None)
    found = suggester.candidates(table(records[:3]), None, nobody(3), trained=trained)
    assert found.names == plain.names
    np.testing.assert_array_equal(found.rows, plain.rows)


def test_parts_joined_are_what_was_cut(records: list[dict]) -> None:
    whole = trained_of(records[:7])
    for cuts in ([0, 7], [0, 3, 3, 7], [0, 1, 2, 5, 7]):
        parts = [whole.slice(a, b) for a, b in pairwise(cuts)]
        again = Trained.concatenate(parts)
        np.testing.assert_array_equal(again.spans.scores, whole.spans.scores)
        np.testing.assert_array_equal(again.spans.offsets, whole.spans.offsets)
        assert len(again.vectors) == 7
    plain = whole._replace(spans=None)
    assert Trained.concatenate([plain.slice(0, 2), plain.slice(2, 7)]).spans is None
