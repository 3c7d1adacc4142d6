"""What can be set of the vector index."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from kartoteka.settings import Settings


class VectorSettings(Settings):
    """`exact_below`: up to so many vectors every one is compared; above, they lie in inverted lists.

    Of the inverted lists: `codes` says how a vector is held in them (`sq8`: a byte a component); `lists` how many there
    are (`None`: about 4 sqrt(n), as FAISS's guidelines have it); `probes` how many are read for a query (`None`: the
    fewest that reach `recall` of the exact 10 nearest on the training sample); `refine` times k are compared again
    with the vectors themselves. `points`: vectors a list to train with; `seed`: of the sample and of k-means.

    `scan_below`: a filter that keeps at most this share, or `exact_below` vectors, is answered by comparing all it
    keeps. `threads`: of FAISS and of the matrix product, from the first search on in the whole process.
    """

    exact_below: int = Field(100_000, ge=0)
    codes: Literal["sq8", "flat"] = "sq8"
    lists: int | None = Field(None, ge=1)
    probes: int | None = Field(None, ge=1)
    recall: float = Field(0.99, gt=0, le=1)
    refine: int = Field(4, ge=1)
    points: int = Field(64, ge=1)
    seed: int = Field(1234, ge=0)
    scan_below: float = Field(0.15, ge=0, le=1)
    threads: int = Field(1, ge=1)
