from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from keyphrases.keyphrase_worlds import record
from ranking_worlds import build_edition, papers

from kartoteka.keyphrases.archive import Archive
from kartoteka.keyphrases.settings import KeyphraseSettings
from kartoteka.lexical.settings import LexicalSettings
from kartoteka.ranking.pairs import FindPairs, pool_of
from kartoteka.ranking.settings import RankerSettings
from kartoteka.ranking.split import Split
from kartoteka.training.edition import annotated_rows

KEYPHRASES = KeyphraseSettings(training_documents=50)


def find(edition: Path, **settings) -> tuple[Archive, pa.Table]:
    step = FindPairs(str(edition), RankerSettings(**settings), KEYPHRASES, LexicalSettings())
    step.open()
    parts = sorted(file.stem for file in (edition / "documents").iterdir())
    return step.archive, pa.concat_tables([step.apply(annotated_rows(str(edition), part)) for part in parts])


def test_pools_hold_what_neighbours_carry_and_the_document_does_not(tmp_path: Path) -> None:
    records = papers(150)
    archive, rows = find(build_edition(records, tmp_path / "e", cuts=(70,)), neighbours=6)
    carried = {r["id"]: set(r["keyphrases"]) for r in records}
    surfaces = archive.surfaces.to_pylist()
    seen = set()
    for row in rows.to_pylist():
        own = {surfaces[p] for p in row["positives"]}
        assert own == carried[row["id"]]
        assert archive.ids[row["own"]].as_py() == row["id"]
        pool = [surfaces[p] for p in row["pool"]]
        assert len(pool) == len(set(pool)) == len(row["rank"])
        seen.add(row["split"])
        if row["split"] == Split.TRAINING:
            assert not own & set(pool)
            assert pool
            assert all(1 <= rank <= 6 for rank in row["rank"])
        if row["split"] in (Split.FUSION, Split.ASIDE):
            assert not pool
    assert seen >= {Split.TRAINING, Split.VALIDATION, Split.FUSION}


def test_the_pool_is_cut_in_training_only(tmp_path: Path) -> None:
    edition = build_edition(papers(150), tmp_path / "e")
    _, rows = find(edition, pool=2, neighbours=20)
    sizes = {split: [len(r["pool"]) for r in rows.to_pylist() if r["split"] == split] for split in Split}
    assert max(sizes[Split.TRAINING]) == 2
    assert min(sizes[Split.VALIDATION]) > 2


def test_pool_is_ordered_by_summed_scores(tmp_path: Path) -> None:
    records = [
        record(0, "a", "a a", ["x", "y"]),
        record(1, "b", "b b", ["y", "z"]),
        record(2, "c", "c c", ["z"]),
    ]
    archive = Archive.open(build_edition(records, tmp_path / "e") / "ranker" / "archive")
    phrases, rank = pool_of(archive, np.array([1, 0, 2, -1]), np.array([3.0, 2.0, 1.5, 0.0], np.float32))
    assert [archive.surfaces[p].as_py() for p in phrases] == ["y", "z", "x"]  # 5, 4.5, 2
    assert rank.tolist() == [1, 1, 2]
    assert pool_of(archive, np.array([-1, -1]), np.zeros(2, np.float32))[0].size == 0


def test_a_twin_neither_teaches_nor_tells(tmp_path: Path) -> None:
    """Two records of one list, as translations are: neither is the other's neighbour, and none is trained on whose twin
    must stay unseen."""
    records = papers(120)
    for number in range(60):
        words = f"subject{number} thing{number}"
        for half in range(2):
            phrases = [f"alpha{number} beta", f"gamma{number}", f"delta{number} epsilon"]
            records.append(record(1000 + 2 * number + half, words, f"{words} half{half}", phrases))
    archive, rows = find(build_edition(records, tmp_path / "e"))
    surfaces = archive.surfaces.to_pylist()
    split = {row["id"]: row["split"] for row in rows.to_pylist()}
    pairs = [(f"d{1000 + 2 * n}", f"d{1001 + 2 * n}") for n in range(60)]
    for one, other in pairs:
        assert {split[one], split[other]} not in ({Split.TRAINING, Split.FUSION}, {Split.TRAINING, Split.VALIDATION})
    assert any(Split.ASIDE in (split[a], split[b]) for a, b in pairs)
    for row in rows.to_pylist():
        if row["id"] >= "d1000" and len(row["id"]) == 5:
            assert not {surfaces[p] for p in row["positives"]} & {surfaces[p] for p in row["pool"]}


def test_documents_without_a_phrase_of_the_archive_are_set_aside(tmp_path: Path) -> None:
    long = " ".join(f"word{n}" for n in range(12))  # longer than any phrase that is kept
    records = [*papers(40), record(900, "title", "text", [long])]
    _, rows = find(build_edition(records, tmp_path / "e"))
    assert rows.to_pylist()[-1]["split"] == Split.ASIDE


@pytest.mark.parametrize("count", [1, 2])
def test_a_handful_of_documents(tmp_path: Path, count: int) -> None:
    _, rows = find(build_edition(papers(count), tmp_path / "e"))
    assert rows.num_rows == count


def test_a_part_without_annotated_documents(tmp_path: Path) -> None:
    records = [*papers(30), record(500, "nothing", "known", [])]
    archive, rows = find(build_edition(records, tmp_path / "e", cuts=(30,)))
    assert rows.num_rows == archive.documents == 30
