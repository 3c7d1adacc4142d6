"""The end of the clusters: every document's place, what describes each cluster, and the edition's tables of both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import pyarrow as pa
import pyarrow.compute as pc

from kartoteka.edition import BUILD
from kartoteka.flow.ledger import Completion, files_of
from kartoteka.stages.embed import texts_of
from kartoteka.storage import Storage

FOLDER = "clusters"
SUMMARY = f"{FOLDER}/summary.parquet"
#: What takes a further vector to its cluster: `mean`, `components`, `centroids`.
MODEL = f"{FOLDER}/model.npz"
#: How many terms, keyphrases and documents describe a cluster.
TERMS, MEDOIDS = 10, 3


def described(group: str, what: str) -> str:
    """A table of what a group of documents says about the clusters: `terms`, `forms`, `keyphrases` or `medoids`."""
    return f"{BUILD}/clusters/described/{what}/{group}.parquet"


def sums_file(group: str) -> str:
    """The `kmeans.Sums` of a group about the last centroids."""
    return f"{BUILD}/clusters/described/sums/{group}.npz"


@dataclass(frozen=True)
class Place:
    """The nearest of all centroids for each document of a group; `points` and `state` are files of the build."""

    group: str
    parts: Sequence[str]
    points: str
    state: str

    def __call__(self, storage: Storage) -> Completion:
        """Put the clusters of each part into the edition; keep in the build what the group says about them."""
        from kartoteka.clustering.kmeans import State, sums_of
        from kartoteka.clustering.summary import clusters_table

        state = State(**storage.arrays(self.state))
        points = storage.arrays(self.points)["points"]
        clusters = state.assign(points, None)
        sums, distances = sums_of(points, clusters, state.centroids)
        storage.put_arrays(sums_file(self.group), **asdict(sums))
        files, said, start = {}, [], 0
        for part in self.parts:
            ids = storage.table(f"documents/{part}.parquet", ["id"])["id"]
            table = clusters_table(ids, clusters[start : (end := start + len(ids))], distances[start:end])
            name = f"{FOLDER}/{part}.parquet"
            files[name] = storage.put_table(name, table)
            said.append(self._describe(storage, part, table))
            start = end
        self._keep(storage, said)
        return Completion("", len(points), len(points), files=files_of(files))

    @staticmethod
    def _describe(storage: Storage, part: str, table: pa.Table) -> dict[str, pa.Table]:
        from kartoteka.clustering import describe

        clusters, distances = table["cluster"].to_numpy(), table["distance"].to_numpy()
        texts = storage.table(f"documents/{part}.parquet", ["title", "abstract", "lang"])
        phrases = storage.table(f"keyphrases/{part}.parquet", ["keyphrases"])["keyphrases"]
        terms, forms = describe.count_words(texts_of(texts, "\n"), texts["lang"].to_pylist(), clusters)
        nearest = describe.heaviest(describe.weigh_documents(table["id"], clusters, distances), MEDOIDS)
        phrases = describe.weigh_phrases(phrases, clusters)
        return {"terms": terms, "forms": forms, "keyphrases": phrases, "medoids": nearest}

    def _keep(self, storage: Storage, said: Sequence[dict[str, pa.Table]]) -> None:
        from kartoteka.clustering import describe

        for what, most in (("terms", describe.KEPT), ("keyphrases", describe.KEPT), ("medoids", MEDOIDS)):
            whole = describe.added([tables[what] for tables in said])
            storage.put_table(described(self.group, what), describe.heaviest(whole, most))
        storage.put_table(described(self.group, "forms"), describe.merge_forms([tables["forms"] for tables in said]))


@dataclass(frozen=True)
class Summarise:
    """One row for each cluster, from what the groups said; and what takes a further vector to its cluster."""

    groups: Sequence[str]
    state: str
    projection: str

    def __call__(self, storage: Storage) -> Completion:
        """Put both into the edition."""
        from kartoteka.clustering import describe, kmeans
        from kartoteka.clustering.summary import summary_table

        centroids = storage.arrays(self.state)["centroids"]
        sums = kmeans.add(kmeans.Sums(**storage.arrays(sums_file(group))) for group in self.groups)
        counts = self._added(storage, "terms", describe.KEPT)
        words, forms = self._forms(storage, counts["name"])
        terms = describe.distinctive(counts, forms, words, int((sums.counts > 0).sum()), TERMS)
        phrases, medoids = self._added(storage, "keyphrases", TERMS), self._added(storage, "medoids", MEDOIDS)
        named = [describe.names(table, len(centroids)) for table in (terms, phrases, medoids)]
        table = summary_table(sums, centroids, *named)
        arrays = storage.arrays(self.projection) | {"centroids": centroids}
        files = {SUMMARY: storage.put_table(SUMMARY, table), MODEL: storage.put_arrays(MODEL, **arrays)}
        return Completion("", facts={"clusters": len(centroids)}, files=files_of(files))

    def _added(self, storage: Storage, what: str, most: int) -> pa.Table:
        """The tables of all groups as one, cut to the heaviest after each so that it does not grow with the archive."""
        from kartoteka.clustering import describe

        whole = describe.WEIGHED.empty_table()
        kept = max(most, describe.KEPT)
        for group in self.groups:
            whole = describe.heaviest(describe.added([whole, storage.table(described(group, what))]), kept)
        return describe.heaviest(whole, most)

    def _forms(self, storage: Storage, stems: pa.ChunkedArray) -> tuple[int, pa.Table]:
        """How many words all texts have, and the words of `stems` only."""
        from kartoteka.clustering import describe

        words, whole = 0, describe.FORMS.empty_table()
        wanted = pc.unique(stems)
        for group in self.groups:
            forms = storage.table(described(group, "forms"))
            words += pc.sum(forms["count"]).as_py() or 0
            whole = describe.merge_forms([whole, forms.filter(pc.is_in(forms["stem"], wanted))])
        return words, whole
