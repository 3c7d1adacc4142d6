"""What can be set of the clusters: section `[clusters]`."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field

from kartoteka.settings import Settings

#: Without a `k` of the user's: one cluster for so many documents, and so many clusters at most.
DOCUMENTS_A_CLUSTER, MOST_CLUSTERS = 40, 2000


class ClusterSettings(Settings):
    """`dimension`: principal components that are kept, at most those that the vectors have.

    `k`: how many clusters; `None`: one for every 40 documents, at most 2,000; a list: the one of these whose clusters
    are the most distinct by the simplified silhouette of a sample. `rounds`: at most so many, fewer once one lowers the
    inertia by less than `tolerance` of it. `spherical`: by cosine, with centroids of unit length.

    Seeds come from a sample of `points` vectors a cluster; `oversampling`: candidates k-means|| draws a round, times k.
    Between the first round and the last, a vector is compared with the `neighbours` nearest centroids of its own.
    `group_documents`: vectors a task holds; their sums are added up in a fixed order. `seed`: of all that is drawn.
    """

    dimension: int = Field(128, ge=1)
    k: Annotated[int, Field(ge=1)] | Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=1)] | None = None
    rounds: int = Field(20, ge=1)
    tolerance: float = Field(5e-4, ge=0)
    spherical: bool = False
    points: int = Field(64, ge=1)
    oversampling: float = Field(2.0, gt=0)
    neighbours: int = Field(64, ge=2)
    group_documents: int = Field(50_000, ge=1)
    seed: int = Field(1234, ge=0)

    def candidates(self, documents: int) -> list[int]:
        """The numbers of clusters to choose from, ascending, for so many documents.

        Raises `ValueError` naming `clusters.k` when one is larger than the number of documents.
        """
        asked = self.k if self.k is not None else max(1, min(MOST_CLUSTERS, documents // DOCUMENTS_A_CLUSTER))
        numbers = sorted(set(asked if isinstance(asked, list) else [asked]))
        if numbers[-1] > documents:
            raise ValueError(f"clusters.k: {numbers[-1]:,} clusters of {documents:,} documents")
        return numbers

    def sample(self, documents: int) -> np.ndarray:
        """Which of so many documents seeds are drawn from: rows spread evenly, int64, ascending."""
        size = min(documents, self.points * self.candidates(documents)[-1])
        return np.linspace(0, documents, size, endpoint=False).astype(np.int64)
