"""`kartoteka generate` as a person runs it: a small generator of random weights, and what it leaves."""

from __future__ import annotations

from pathlib import Path

import orjson
import pyarrow.parquet as pq
import pytest
from generation.generation_worlds import SMALL, make_edition, record
from typer import Typer
from typer.testing import CliRunner

from jobs.generate import generate
from kartoteka.documents import KEYPHRASES_SCHEMA
from kartoteka.evaluation.costs import read_costs
from kartoteka.evaluation.tables import read_predictions
from kartoteka.generation.task import GeneratorTask
from kartoteka.storage import Storage

app = Typer()
app.command()(generate)


@pytest.fixture(scope="module")
def world(ray_session, tmp_path_factory) -> tuple[str, str]:
    """An edition of 30 documents and a generator that has learned nothing from it."""
    folder = tmp_path_factory.mktemp("generate")
    edition = make_edition(folder / "edition", [record(n) for n in range(30)])
    task, run = GeneratorTask(edition, SMALL), Storage(folder / "run")
    task.prepare(run)
    task.export(run, task.build(run), folder / "generator")
    return edition, str(folder / "generator")


def run(*arguments: object):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_predictions_of_an_edition_and_what_they_cost(world, tmp_path):
    out = tmp_path / "p.parquet"
    result = run(world[0], "--generator", world[1], "--out", out, "--beam", 1)
    assert result.exit_code == 0, result.output
    table = pq.read_table(out)
    assert table.schema.equals(KEYPHRASES_SCHEMA)
    assert table["id"].to_pylist() == [f"d{n}" for n in range(30)]
    assert len(read_predictions(out).rows) == 30
    (cost,) = read_costs(str(tmp_path / "p.run.json"))
    assert (cost.stage, cost.rows, cost.gpu_seconds) == ("generate", 30, 0.0)
    assert cost.cpu_seconds > 0
    assert orjson.loads((tmp_path / "p.run.json").read_bytes())["search"]["beam"] == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["p.parquet", "p.run.json"]


def test_a_file_of_documents(world, tmp_path):
    source = tmp_path / "d.jsonl"
    rows = [{"id": str(n), "title": f"On graphs {n}", "abstract": "Of use."} for n in range(5)]
    source.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    result = run(source, "--generator", world[1], "--out", tmp_path / "p.parquet", "--limit", 3)
    assert result.exit_code == 0, result.output
    assert pq.read_table(tmp_path / "p.parquet")["id"].to_pylist() == ["0", "1", "2"]


@pytest.mark.parametrize(
    ("source", "generator", "out", "more", "message"),
    [
        ("absent.jsonl", None, "p.parquet", (), "no such file or folder"),
        (None, "absent/model/dir", "p.parquet", (), "neither a directory nor a model"),
        (None, None, "p.jsonl", (), "does not end in .parquet"),
        (None, None, "no/such/p.parquet", (), "there is no folder"),
        (None, None, "p.parquet", ("--sequences", 9), "cannot come from a beam of 2"),
    ],
)
def test_a_fault_of_the_user_is_one_line_and_leaves_nothing(world, tmp_path, source, generator, out, more, message):
    given: Path = tmp_path / out
    result = run(source or world[0], "--generator", generator or world[1], "--out", given, *more)
    assert result.exit_code == 2
    assert message in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert not list(tmp_path.rglob("*"))
