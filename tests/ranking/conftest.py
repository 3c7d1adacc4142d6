from __future__ import annotations

import pytest
from encoding.conftest import make_model
from ranking_arrays import made_arrays

from kartoteka.ranking.data import PairArrays


@pytest.fixture
def tiny(tmp_path):
    """A function `tiny(kind, **options)` -> directory of a tiny model (see `encoding.conftest.make_model`)."""

    def make(kind="bert", **options):
        folder = tmp_path / f"{kind}-{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        return make_model(folder, kind, **options)

    return make


@pytest.fixture
def arrays() -> PairArrays:
    """See `ranking_arrays.made_arrays`."""
    return made_arrays()
