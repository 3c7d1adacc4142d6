"""What describes a cluster: the words that set it apart, its keyphrases, and the documents nearest to its centre.

All three are names with a weight in a cluster. A group of documents gives its heaviest; those of all groups are added
up. Words are weighed by class-based TF-IDF (Grootendorst 2022, "BERTopic", eq. 2): of term t in class c it is
tf(t, c) log(1 + A / f(t)), f the term's frequency in all classes and A the mean number of words of a class.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kartoteka.text.words import stem_words, stop_words, tokenise

#: `weight` of a `name` (a stem, a phrase, an id) in a `cluster`.
WEIGHED = pa.schema([("cluster", pa.int32()), ("name", pa.string()), ("weight", pa.float64())])
#: How often a `word` stood for a `stem`.
FORMS = pa.schema([("stem", pa.string()), ("word", pa.string()), ("count", pa.int64())])
#: Names a group keeps for each cluster: what describes a cluster is frequent in it in every group.
KEPT = 100
#: ASCII words shorter than this say little.
_SHORT = 3


def count_words(texts: Iterable[str], langs: Iterable[str], clusters: np.ndarray) -> tuple[pa.Table, pa.Table]:
    """How often each stem stands in the `texts` of each cluster [n], and in what words: `WEIGHED` and `FORMS` tables.

    Stop words, numbers and short words are left out.
    """
    stems: list[str] = []
    words: list[str] = []
    lengths = []
    for text, lang in zip(texts, langs, strict=True):
        stop = stop_words(lang)
        kept = [word for word in tokenise(text) if word not in stop and _tells(word)]
        words += kept
        stems += stem_words(kept, lang)
        lengths.append(len(kept))
    where = np.repeat(clusters.astype(np.int32), np.asarray(lengths, np.int64))
    once = pa.array(np.ones(len(words)))
    counts = pa.table([where, pa.array(stems, pa.string()), once], schema=WEIGHED)
    forms = pa.table([pa.array(stems, pa.string()), pa.array(words, pa.string()), once.cast(pa.int64())], schema=FORMS)
    return added([counts]), merge_forms([forms])


def _tells(word: str) -> bool:
    return word[0].isalpha() and not (len(word) < _SHORT and word.isascii())


def weigh_phrases(keyphrases: pa.ChunkedArray, clusters: np.ndarray) -> pa.Table:
    """The keyphrases of each cluster, weighed by the sum of their scores.

    Where these are probabilities, that is how many of its documents a cataloguer would have given them to.
    """
    column = keyphrases.combine_chunks()
    lengths = pc.list_value_length(column).to_numpy(zero_copy_only=False)
    flat = column.flatten()
    where = np.repeat(clusters.astype(np.int32), lengths.astype(np.int64))
    return added([pa.table([where, flat.field("phrase"), flat.field("score").cast(pa.float64())], schema=WEIGHED)])


def weigh_documents(ids: pa.ChunkedArray, clusters: np.ndarray, distances: np.ndarray) -> pa.Table:
    """The documents of each cluster, the nearest to its centre weighing most."""
    return pa.table([clusters.astype(np.int32), ids, -distances.astype(np.float64)], schema=WEIGHED)


def added(tables: Sequence[pa.Table]) -> pa.Table:
    """The `WEIGHED` tables as one, weights of equal cluster and name added in the order they come in."""
    grouped = pa.concat_tables(tables).group_by(["cluster", "name"], use_threads=False)
    return grouped.aggregate([("weight", "sum")]).rename_columns(WEIGHED.names).cast(WEIGHED)


def heaviest(table: pa.Table, count: int) -> pa.Table:
    """Of a `WEIGHED` table the `count` heaviest names of each cluster, heaviest first; of equal ones by name."""
    ordered = table.sort_by([("cluster", "ascending"), ("weight", "descending"), ("name", "ascending")])
    clusters = ordered["cluster"].to_numpy()
    rank = np.arange(len(clusters)) - np.searchsorted(clusters, clusters)
    return ordered.filter(pa.array(rank < count))


def names(table: pa.Table, k: int) -> list[list[str]]:
    """The names of each of `k` clusters, in the order of the table."""
    found: list[list[str]] = [[] for _ in range(k)]
    for cluster, name in zip(table["cluster"].to_pylist(), table["name"].to_pylist(), strict=True):
        found[cluster].append(name)
    return found


def merge_forms(tables: Sequence[pa.Table]) -> pa.Table:
    """The `FORMS` tables as one."""
    grouped = pa.concat_tables(tables).group_by(["stem", "word"], use_threads=False)
    return grouped.aggregate([("count", "sum")]).rename_columns(FORMS.names).cast(FORMS)


def distinctive(counts: pa.Table, forms: pa.Table, words: int, classes: int, count: int) -> pa.Table:
    """The `count` terms of each cluster by class-based TF-IDF, as words: a `WEIGHED` table.

    `counts`: stems by cluster; `forms`: of these stems in the whole archive, which has so many `words` in so many
    `classes`. A stem is shown as the word it most often stood in.
    """
    totals = forms.group_by("stem").aggregate([("count", "sum")])
    place = pc.index_in(counts["name"], totals["stem"].combine_chunks()).to_numpy()
    frequency = totals["count_sum"].to_numpy()[place]
    weights = counts["weight"].to_numpy() * np.log1p(words / max(classes, 1) / frequency)
    table = heaviest(counts.set_column(2, WEIGHED.field("weight"), pa.array(weights)), count)
    shown = forms.sort_by([("count", "descending"), ("word", "ascending")])
    word = shown["word"].take(pc.index_in(table["name"], shown["stem"].combine_chunks()))
    return table.set_column(1, WEIGHED.field("name"), word)
