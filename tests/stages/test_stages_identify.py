"""Duplicated ids: the first in archive order stays, whatever the buckets."""

from __future__ import annotations

import tempfile

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from kartoteka.documents import to_table
from kartoteka.stages.identify import FindDuplicates, duplicate_rows
from kartoteka.stages.read import documents_of
from kartoteka.storage import Storage


def part(ids: list[str], name: str) -> pa.Table:
    return to_table(
        [
            {
                "id": identity, "title": "t", "abstract": "", "lang": "en", "year": None, "keyphrases": [],
                "references": [], "added": None, "source": f"{name}:{row}", "extra": "{}",
            }
            for row, identity in enumerate(ids)
        ]
    )  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.lists(st.sampled_from(["a", "b", "c", "d", "é", "ё"]), max_size=6), min_size=1, max_size=4),
    st.integers(1, 3),
)
def test_every_repetition_is_found_once(parts: list[list[str]], buckets: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        storage = Storage(folder)
        names = [f"part-{number}" for number in range(len(parts))]
        for name, ids in zip(names, parts, strict=True):
            storage.put_table(documents_of(name), part(ids, name))
        found = sum(FindDuplicates(names, bucket, buckets)(storage).quarantined for bucket in range(buckets))
        first: dict[str, str] = {}
        expected = []
        for name, ids in zip(names, parts, strict=True):
            here = []
            for row, identity in enumerate(ids):
                if identity in first:
                    here.append((row, identity, first[identity]))
                first.setdefault(identity, f"{name}:{row}")
            expected.append(here)
        assert [duplicate_rows(storage, name) for name in names] == expected
        assert found == sum(map(len, expected))
