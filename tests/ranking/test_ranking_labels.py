from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from keyphrases.keyphrase_worlds import record
from ranking_worlds import build_edition, papers

from kartoteka.encoding.models import resolve_model
from kartoteka.encoding.spans import LONGEST, words_of
from kartoteka.encoding.transformer import load_tokenizer
from kartoteka.keyphrases.archive import Archive
from kartoteka.ranking.labels import LEFT_OUT, RIGHT, WRONG, LabelSpans, span_labels
from kartoteka.ranking.pairs import Tokenise
from kartoteka.text.words import phrase_key, stems, stop_words, tokenise
from kartoteka.training.edition import annotated_rows

RECORDS = [
    record(0, "Internet of things", "An internet of things for neural networks.", ["internet of things", "Networks"]),
    record(1, "Of mice", "Mice, of mice and men. Neural network", ["of mice", "neural network", "a b c d e f"]),
    record(2, "a b c d e f", "neural", ["neural network", "of"]),
    record(3, "", "the neural network of things", ["things"]),
    *papers(20),
]


def oracle(row: dict, read: int) -> list[list[int]]:
    """By comparing the stems of every run of words with those of every keyphrase."""
    fields = [stems(row["title"], "en"), stems(row["abstract"], "en")]
    words = [word for text in (row["title"], row["abstract"]) for word in tokenise(text)]
    flat = fields[0] + fields[1]
    carried = {phrase_key(phrase, "en") for phrase in row["keyphrases"]}
    labels = []
    for start in range(read):
        for stop in range(start + 1, start + LONGEST + 1):
            label = LEFT_OUT
            if stop <= read and (start < len(fields[0])) == (stop - 1 < len(fields[0])):
                if " ".join(flat[start:stop]) in carried:
                    label = RIGHT
                elif not {words[start], words[stop - 1]} & stop_words("en"):
                    label = WRONG
            labels.append(label)
    return np.reshape(labels, (read, LONGEST)).tolist()


@pytest.fixture
def edition(tmp_path: Path) -> Path:
    return build_edition(RECORDS, tmp_path / "edition")


@pytest.mark.parametrize("cut", [0, 1, 3, 99])
def test_labels_are_those_of_every_run_compared_with_every_keyphrase(edition: Path, cut: int) -> None:
    archive = Archive.open(edition / "ranker" / "archive")
    seen = set()
    for number, row in enumerate(RECORDS):
        fields = [tokenise(row["title"]), tokenise(row["abstract"])]
        read = min(cut, sum(map(len, fields)))
        labels = span_labels(fields, "en", read, archive.arrays, archive.phrases_of(number))
        assert labels.dtype == np.int8
        assert labels.tolist() == oracle(row, read)
        seen |= set(labels.ravel().tolist())
    assert seen == ({LEFT_OUT, WRONG, RIGHT} if cut else set())


def test_words_and_labels_of_rows_are_in_step(edition: Path, tiny_encoder: Path) -> None:
    """With a model that reads little: labels end where the words do, and words lie at their own tokens."""
    rows = annotated_rows(str(edition), "part-00000-000000")
    archive = Archive.open(edition / "ranker" / "archive")
    own = [archive.phrases_of(number).tolist() for number in range(rows.num_rows)]
    rows = rows.append_column("positives", pa.array(own, pa.large_list(pa.int32())))
    for step in (Tokenise(str(tiny_encoder), ". ", 30, words=True), LabelSpans(str(edition))):
        step.open()
        rows = step.apply(rows)
    tokenizer, _ = load_tokenizer(resolve_model(str(tiny_encoder)))
    cut = 0
    for row in rows.to_pylist():
        text = ". ".join(filter(None, (row["title"], row["abstract"])))
        words = words_of(text, ". ")
        read = len(row["word_first"])
        cut += read < len(words)
        assert np.reshape(row["word_labels"], (-1, LONGEST)).tolist() == oracle(row, read)
        for (start, stop), first, last in zip(words, row["word_first"], row["word_last"], strict=False):
            ids = tokenizer.encode(text[start:stop], add_special_tokens=False).ids
            assert row["tokens"][first : last + 1] == ids
    assert 0 < cut < rows.num_rows
