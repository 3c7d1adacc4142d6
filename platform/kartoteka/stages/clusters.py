"""Clusters: principal components and K-Means over the vectors of all documents, in groups of parts.

The documents are those that `withdraw` left. In a round, the task of a group reads its points and writes sums; the next
task adds those of all groups, in group order. All that lies between two tasks are files of the build, so a run that was
killed goes on with the round it was in.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from kartoteka.clustering.settings import ClusterSettings
from kartoteka.edition import BUILD
from kartoteka.flow.build import Build, Task
from kartoteka.flow.ledger import Completion
from kartoteka.stages.describe import Place, Summarise
from kartoteka.stages.lexical import shards_of
from kartoteka.stages.vectors import embeddings_of
from kartoteka.storage import Storage

NAME = "clusters"
WORK = f"{BUILD}/{NAME}"
PROJECTION = f"{WORK}/projection.npz"


def points_file(group: str) -> str:
    """`points` float32 [n, dimension]: the vectors of a group on the principal components."""
    return f"{WORK}/points/{group}.npz"


def state_file(number: int) -> str:
    """The `kmeans.State` that round `number` begins with."""
    return f"{WORK}/states/{number:04d}.npz"


def round_folder(number: int) -> str:
    """What the groups gave to round `number`: `clusters` int32 [n] and the fields of `kmeans.Sums`."""
    return f"{WORK}/rounds/{number:04d}"


@dataclass(frozen=True)
class Measure:
    """What the unit vectors of a group add to the covariance of all."""

    group: str
    parts: Sequence[str]

    def __call__(self, storage: Storage) -> Completion:
        """Keep the sums in the build. Raises `ValueError` naming the documents whose vectors are not finite."""
        from kartoteka.clustering import pca

        found = (embeddings_of(storage, part) for part in self.parts)
        sums = pca.add(pca.moments(pca.unit(vectors, ids)) for ids, vectors in found)
        storage.put_arrays(f"{WORK}/moments/{self.group}.npz", **asdict(sums))
        return Completion("")


@dataclass(frozen=True)
class Components:
    """The principal components of all vectors, from the sums of the groups."""

    groups: Sequence[str]
    settings: ClusterSettings

    def __call__(self, storage: Storage) -> Completion:
        """Keep them in the build."""
        from kartoteka.clustering import pca

        found = (storage.arrays(f"{WORK}/moments/{group}.npz") for group in self.groups)
        projection = pca.fit(pca.add(pca.Moments(**sums) for sums in found), self.settings.dimension)
        storage.put_arrays(PROJECTION, **asdict(projection))
        return Completion("")


@dataclass(frozen=True)
class Project:
    """The points of a group, and those of its `rows` that are in the sample from which seeds are drawn."""

    group: str
    parts: Sequence[str]
    rows: np.ndarray
    settings: ClusterSettings

    def __call__(self, storage: Storage) -> Completion:
        """Keep both in the build."""
        from kartoteka.clustering import pca

        projection = pca.Projection(**storage.arrays(PROJECTION))
        unit = np.concatenate([pca.unit(embeddings_of(storage, part)[1]) for part in self.parts])
        points = projection.apply(unit, self.settings.spherical)
        storage.put_arrays(points_file(self.group), points=points)
        storage.put_arrays(f"{WORK}/sample/{self.group}.npz", points=points[self.rows])
        return Completion("")


@dataclass(frozen=True)
class Seed:
    """Where K-Means begins, chosen on the sample of all groups; for a list of `numbers` of clusters, the best too."""

    groups: Sequence[str]
    numbers: Sequence[int]
    settings: ClusterSettings

    def __call__(self, storage: Storage) -> Completion:
        """Keep the state before the first round in the build."""
        from kartoteka.clustering.choose import choose_seeds
        from kartoteka.clustering.kmeans import State

        sample = np.concatenate([storage.arrays(f"{WORK}/sample/{group}.npz")["points"] for group in self.groups])
        seeds = choose_seeds(sample, self.numbers, self.settings)
        storage.put_arrays(state_file(0), **asdict(State.begin(seeds, self.settings)))
        return Completion("")


@dataclass(frozen=True)
class Assign:
    """The share of a group in round `number`."""

    group: str
    number: int

    def __call__(self, storage: Storage) -> Completion:
        """Keep clusters and sums in the build."""
        from kartoteka.clustering.kmeans import State, sums_of

        state = State(**storage.arrays(state_file(self.number)))
        points = storage.arrays(points_file(self.group))["points"]
        before = storage.arrays(f"{round_folder(self.number - 1)}/{self.group}.npz") if self.number else {}
        clusters = state.assign(points, before.get("clusters"))
        sums, _ = sums_of(points, clusters, state.centroids)
        storage.put_arrays(f"{round_folder(self.number)}/{self.group}.npz", clusters=clusters, **asdict(sums))
        return Completion("")


@dataclass(frozen=True)
class Move:
    """The end of round `number`: the sums of all groups give new centroids."""

    groups: Sequence[str]
    number: int
    settings: ClusterSettings

    def __call__(self, storage: Storage) -> Completion:
        """Keep the next state, forget the round before; the fact `settled` says whether this one was the last."""
        from kartoteka.clustering import kmeans

        state = kmeans.State(**storage.arrays(state_file(self.number)))
        state = state.after(kmeans.add(self._sums(storage)), self.settings)
        storage.put_arrays(state_file(self.number + 1), **asdict(state))
        if self.number:
            storage.delete(round_folder(self.number - 1))
        return Completion("", facts={"rounds": 1, "settled": int(state.settled(self.settings))})

    def _sums(self, storage: Storage) -> Iterator:
        from kartoteka.clustering.kmeans import Sums

        for group in self.groups:
            arrays = storage.arrays(f"{round_folder(self.number)}/{group}.npz")
            yield Sums(arrays["counts"], arrays["totals"], arrays["inertia"])


@dataclass(frozen=True)
class Waves:
    """Which tasks follow on which, for `groups` of parts; `samples`: the rows of each group that are in the sample."""

    groups: dict[str, Sequence[str]]
    samples: dict[str, np.ndarray]
    numbers: Sequence[int]
    settings: ClusterSettings

    def __call__(self, done: dict[str, Completion]) -> dict[str, Task]:
        """The tasks of the first wave that is not all done; none at the end."""
        for wave in self._waves(done):
            if missing := {name: task for name, task in wave.items() if name not in done}:
                return missing
        return {}

    def _waves(self, done: dict[str, Completion]) -> Iterator[dict[str, Task]]:
        """All waves, as far as they are known from what is `done`."""
        names, settings = list(self.groups), self.settings
        yield {f"measure-{group}": Measure(group, parts) for group, parts in self.groups.items()}
        yield {"components": Components(names, settings)}
        yield {f"project-{g}": Project(g, parts, self.samples[g], settings) for g, parts in self.groups.items()}
        yield {"seed": Seed(names, self.numbers, settings)}
        number, settled = 0, False
        while not settled:
            yield {f"round-{number:04d}-{group}": Assign(group, number) for group in names}
            move = f"round-{number:04d}"
            yield {move: Move(names, number, settings)}
            settled = bool(done[move].facts["settled"])
            number += 1
        last = state_file(number)
        yield {f"place-{g}": Place(g, parts, points_file(g), last) for g, parts in self.groups.items()}
        yield {"summary": Summarise(names, last, PROJECTION)}


def cluster_documents(build: Build, documents: dict[str, int], settings: ClusterSettings) -> dict[str, Completion]:
    """Run the stage over `documents` (rows by part, in archive order); nothing where there is none.

    Raises `ValueError` naming `clusters.k` when more clusters than documents are asked for.
    """
    waves = plan(documents, settings) if any(documents.values()) else lambda done: {}
    return build.run_waves(NAME, waves)


def plan(documents: dict[str, int], settings: ClusterSettings) -> Waves:
    """The stage's tasks for `documents` (rows by part, in archive order). Raises as `cluster_documents` does."""
    count = sum(documents.values())
    numbers = settings.candidates(count)
    wanted = settings.sample(count)
    groups, samples, start = {}, {}, 0
    for number, parts in enumerate(shards_of(documents, settings.group_documents)):
        end = start + sum(documents[part] for part in parts)
        groups[f"group-{number:05d}"] = parts
        samples[f"group-{number:05d}"] = wanted[(wanted >= start) & (wanted < end)] - start
        start = end
    return Waves(groups, samples, numbers, settings)
