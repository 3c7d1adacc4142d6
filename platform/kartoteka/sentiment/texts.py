"""Texts with and without a label: read, mapped to the three classes, refused with a reason, told apart from copies."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from kartoteka.evaluation.tables import records
from kartoteka.keyphrases.hashing import hash_words, mixed
from kartoteka.text.words import tokenise

#: The classes, in the order of their numbers.
CLASSES = ("negative", "neutral", "positive")
#: The number of a text without a label.
UNLABELLED = -1
FIELDS = ("id", "text", "label", "source", "split")
#: Words that decide on which side of a split a text falls: a retweet is cut at its end.
_FIRST_WORDS = 8
_RETWEETED = re.compile(r"https?://\S*|\bRT\b|@\w+:?|\s*…\s*$")


@dataclass
class Texts:
    """Rows in their order; `labels` are numbers of `CLASSES` or `UNLABELLED`; `validation`: their own split says so.

    `refused`: (id, reason) of rows, or of labels: a text whose label is no class stays as one without.
    """

    ids: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)
    validation: list[bool] = field(default_factory=list)
    refused: list[tuple[str, str]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, numbers: Iterable[int]) -> Texts:
        """The rows `numbers`, in that order; nothing refused."""
        chosen = [int(number) for number in numbers]
        columns = (self.ids, self.texts, self.labels, self.sources, self.validation)
        return Texts(*([column[i] for i in chosen] for column in columns))

    def reasons(self) -> dict[str, int]:
        """How many rows were refused for each reason, the most frequent first."""
        return dict(Counter(reason for _, reason in self.refused).most_common())


def read_texts(files: Sequence[str], mapping: Mapping[str, str], *, tests: bool = False) -> Texts:
    """The rows of JSON Lines or Parquet `files`: `text`, and where known `id`, `label`, `source` and `split`.

    A label is a class by name, or becomes one by `mapping` (compared as text). Refused: a row without a text, one of a
    test split unless `tests`, and a label that is no class. Raises `ValueError`: a file that is
    empty or cannot be read, or all texts equal.
    """
    found = Texts()
    for file in files:
        before = len(found) + len(found.refused)
        for where, row in records(file, FIELDS):
            _add(found, where, row, mapping, tests)
        if len(found) + len(found.refused) == before:
            raise ValueError(f"data: {file} is empty")
    if len(found) > 1 and len(set(found.texts)) == 1:
        raise ValueError(f"data: all {len(found):,} texts are equal: there is nothing to tell apart")
    return found


def _add(found: Texts, where: str, row: dict[str, Any], mapping: Mapping[str, str], tests: bool) -> None:
    name = where if row.get("id") is None else str(row["id"])
    text, label, split = row.get("text"), row.get("label"), row.get("split")
    if "text" not in row:
        raise ValueError(f"{where}: `text` is missing")
    if not isinstance(text, str) or not text.strip():
        found.refused.append((name, "no text"))
        return
    if split == "test" and not tests:
        found.refused.append((name, "of a test split"))
        return
    number = UNLABELLED
    if label is not None:
        named = mapping.get(str(label), str(label))
        if named in CLASSES:
            number = CLASSES.index(named)
        else:
            found.refused.append((name, f"label `{label}` is no class"))
    found.ids.append(name)
    found.texts.append(text.strip())
    found.labels.append(number)
    found.sources.append(str(row.get("source") or ""))
    found.validation.append(split in ("validation", "valid", "dev"))


def copy_keys(texts: Sequence[str]) -> np.ndarray:
    """Hashes uint64 [n], equal for texts that are copies: in another case, as retweets, with other links and names.

    Punctuation stays: a smile at the end can be all the sentiment there is.
    """
    return hash_words([" ".join(_RETWEETED.sub(" ", text).casefold().split()) for text in texts])


def side_keys(texts: Sequence[str]) -> np.ndarray:
    """Hashes uint64 [n] of the first words: texts that share one belong on one side of a split."""
    beginnings = [" ".join(tokenise(_RETWEETED.sub(" ", text))[:_FIRST_WORDS]) for text in texts]
    return hash_words([beginning or text for beginning, text in zip(beginnings, texts, strict=True)])


def held_out(sides: np.ndarray, share: float, salt: str) -> np.ndarray:
    """Which rows are on the held-out side, bool [n]: those of the first `share` of distinct `sides` [n], one at least.

    In an order that is random but known from side and `salt` alone; another salt gives another split.
    """
    distinct = np.unique(sides)
    order = np.argsort(mixed(distinct ^ hash_words([salt])[0]), kind="stable")
    count = max(1, round(share * len(distinct)))
    return np.isin(sides, distinct[order[:count]])


def without_copies(texts: Texts) -> Texts:
    """One row of every text, the first labelled one; none of those whose copies have different labels.

    Rows that went are added to `refused` with the reason.
    """
    keys = copy_keys(texts.texts)
    labels = np.array(texts.labels, np.int64)
    order = np.lexsort((np.arange(len(keys)), labels == UNLABELLED, keys))  # labelled first, then as they came
    first = np.concatenate([[True], keys[order][1:] != keys[order][:-1]])
    group = np.cumsum(first) - 1
    lowest = np.full(group[-1] + 1, len(CLASSES))
    highest = np.full(group[-1] + 1, UNLABELLED)
    known = labels[order] != UNLABELLED
    np.minimum.at(lowest, group[known], labels[order][known])
    np.maximum.at(highest, group[known], labels[order][known])
    torn = (lowest < highest)[group]
    kept = np.sort(order[first & ~torn])
    gone = dict.fromkeys(order[~first & ~torn].tolist(), "a copy of another text")
    gone |= dict.fromkeys(order[torn].tolist(), "copies have different labels")
    found = texts.take(kept)
    found.refused = [*texts.refused, *((texts.ids[i], gone[i]) for i in sorted(gone))]
    return found
