"""Parts through a real cluster: rows that kill, raise, or stop the run; workers that die; pools with a GPU."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from flow.stages_for_tests import Doubled, Shout, Shouting, Tell
from rich.console import Console

from kartoteka.flow.build import Build, Task
from kartoteka.flow.execute import configure_ray_data, pool_sizes, pools_of
from kartoteka.flow.ledger import Completion
from kartoteka.flow.stage import Resources
from kartoteka.storage import Storage

PARTS = [f"part-{number:05d}" for number in range(4)]


@pytest.fixture
def build(tmp_path: Path, ray_session: str) -> Build:
    configure_ray_data()
    return Build(Storage(tmp_path / "edition"), {"plan": 1}, Console(quiet=True))


def test_rows_that_kill_or_raise_are_set_aside_and_nothing_else_is_lost(build: Build) -> None:
    texts = {PARTS[1]: ["a", "kill", "b", "kill"], PARTS[2]: ["raise", "c", "d", "e"]}
    done = build.run(Shouting(texts, [Shout()]), dict.fromkeys(PARTS, 4))
    assert {part: (c.rows_out, c.facts["reasons"]) for part, c in done.items()} == {
        PARTS[0]: (4, {}), PARTS[1]: (2, {"killed_worker": 2}), PARTS[2]: (3, {"failed": 1}), PARTS[3]: (4, {}),
    }  # fmt: skip
    assert build.storage.table(f"shouting/{PARTS[1]}.parquet")["loud"].to_pylist() == ["A", "B"]
    assert not build.storage.list("_build/attempts/shouting.0")


def test_a_worker_that_dies_once_costs_nothing(build: Build, tmp_path: Path) -> None:
    step = Shout(marker=str(tmp_path / "died"))
    done = build.run(Shouting({PARTS[0]: ["kill once", "x"]}, [step]), dict.fromkeys(PARTS, 4))
    assert (tmp_path / "died").exists()
    assert sum(c.quarantined for c in done.values()) == 0
    assert build.storage.table(f"shouting/{PARTS[0]}.parquet")["loud"].to_pylist() == ["KILL ONCE", "X"]


def test_a_full_disk_stops_the_run_and_what_is_committed_stays(build: Build) -> None:
    with pytest.raises(OSError, match="No space left on device"):
        build.run(Shouting({PARTS[3]: ["full"]}, [Shout()]), dict.fromkeys(PARTS, 4))
    before = build.ledger.done("shouting")
    assert PARTS[3] not in before
    done = build.run(Shouting({}, [Shout()]), dict.fromkeys(PARTS, 4))
    assert set(done) == set(PARTS)
    assert all(done[part].finished == before[part].finished for part in before)


def test_when_most_rows_raise_the_rows_are_not_the_cause(build: Build) -> None:
    with pytest.raises(ValueError, match="cannot take this row"):
        build.run(Shouting({PARTS[0]: ["raise"] * 4}, [Shout()]), {PARTS[0]: 4})


def test_steps_that_need_a_gpu_run_in_a_pool_of_their_own(build: Build) -> None:
    stage = Shouting({PARTS[1]: ["a", "raise", "b", "c"]}, [Shout("first"), Shout("second", gpus=1.0)])
    assert [(len(steps), needs.gpus) for steps, needs in pools_of(stage)] == [(1, 0.0), (1, 1.0), (0, 0.0)]
    done = build.run(stage, dict.fromkeys(PARTS, 4))
    assert sum(c.rows_out for c in done.values()) == 15
    table = build.storage.table(f"shouting/{PARTS[0]}.parquet")
    assert table["first"].to_pylist() == table["second"].to_pylist() == [f"PART-00000 {row}" for row in range(4)]


def test_the_same_processes_take_one_stage_after_the_other(build: Build) -> None:
    """What a stage opens is opened once in each, and let go before the next is opened there."""
    told = []
    for run in ("first", "second"):
        place = Build(Storage(f"{build.storage.root}/{run}"), {"plan": 1}, Console(quiet=True))
        place.run(Shouting({}, [Tell()]), dict.fromkeys(PARTS, 4))
        tables = [place.storage.table(f"shouting/{part}.parquet") for part in PARTS]
        told.append([table["told"][0].as_py().split() for table in tables])
    first, second = ({(process, number) for process, number, _ in some} for some in told)
    for opened in (first, second):
        assert len({process for process, _ in opened}) == len(opened) <= 2
    assert {process for process, _ in first} & {process for process, _ in second}
    assert {count for some in told for _, _, count in some} == {"1"}


def test_workers_elsewhere_find_a_build_in_a_relative_folder(
    tmp_path: Path, ray_session: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker of Ray runs in the folder where the cluster was started, or in a copy of it on another machine."""
    monkeypatch.chdir(tmp_path)
    configure_ray_data()
    build = Build(Storage("edition"), {"plan": 1}, Console(quiet=True))
    build.run(Shouting({}, [Shout()]), {PARTS[0]: 4})
    build.run_tasks("doubling", {"00": Doubled(0)})
    made = {file.relative_to(tmp_path).as_posix() for file in tmp_path.rglob("*") if file.is_file()}
    assert {f"edition/shouting/{PARTS[0]}.parquet", "edition/numbers/0.json"} <= made


def test_waves_follow_on_what_was_found_and_go_on_where_they_stopped(build: Build) -> None:
    def until(least: int) -> Callable[[dict[str, Completion]], dict[str, Task]]:
        def following(done: dict[str, Completion]) -> dict[str, Task]:
            reached = max((c.facts["value"] for c in done.values()), default=0)
            return {} if reached >= least else {f"{len(done):02d}": Doubled(len(done))}

        return following

    first = build.run_waves("doubling", until(4))
    assert [c.facts["value"] for c in first.values()] == [2, 4]
    done = build.run_waves("doubling", until(20))
    assert [c.facts["value"] for c in done.values()] == [2, 4, 8, 16, 32]
    assert [done[part] for part in first] == list(first.values())
    assert build.order == ["doubling"]


def test_a_plan_that_cannot_be_scheduled_is_refused(ray_session: str) -> None:
    assert pool_sizes([Resources(1.0)], parts=10) == [2]
    assert pool_sizes([Resources(1.0)], parts=1) == [1]
    with pytest.raises(ValueError, match="no node has the 3 CPU"):
        pool_sizes([Resources(3.0)], parts=1)
    with pytest.raises(ValueError, match="held at the same time"):
        pool_sizes([Resources(1.0), Resources(2.0)], parts=1)
    with pytest.raises(ValueError, match="GPU"):
        pool_sizes([Resources(1.0, 2.0)], parts=1)
