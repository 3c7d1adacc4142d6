"""`kartoteka evaluate keyphrases` as a person runs it."""

from __future__ import annotations

import orjson
import pyarrow as pa
import pytest
from typer.testing import CliRunner

from jobs.evaluate import app
from kartoteka.documents import DOCUMENT_SCHEMA, KEYPHRASES_SCHEMA
from kartoteka.edition import FORMAT
from kartoteka.storage import Storage

GOLD = [
    {"id": "1", "title": "Graph theory", "abstract": "On graphs.", "keyphrases": ["graphs", "logic"], "source": "a:1"},
    {"id": "2", "title": "Тензоры", "abstract": "О тензорах.", "keyphrases": ["тензор"], "lang": "ru", "source": "b:1"},
]
PREDICTED = [{"id": "1", "keyphrases": ["graph", "set"]}, {"id": "2", "keyphrases": ["тензоры"]}]


def write(path, rows) -> str:
    path.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    return str(path)


@pytest.fixture
def files(tmp_path) -> tuple[str, str]:
    return write(tmp_path / "p.jsonl", PREDICTED), write(tmp_path / "g.jsonl", GOLD)


def run(*arguments: str):
    return CliRunner().invoke(app, ["keyphrases", "--resamples", "200", *arguments])


def row(output: str, name: str) -> list[str]:
    return next(line.split() for line in output.splitlines() if line.startswith(name))


def test_metrics_with_intervals_and_convention(files):
    result = run(files[0], "--gold", files[1])
    assert result.exit_code == 0, result.output
    assert "convention mean-f1: flexible precision" in result.output
    assert row(result.output, "F1@5")[:2] == ["F1@5", "75.0"]
    assert "mean-f1" in row(result.output, "F1@5")


def test_each_convention_prints_its_own_numbers(files):
    result = run(files[0], "--gold", files[1], "--convention", "chan", "--convention", "opennmt")
    assert result.output.count("present F1@M") == 2
    assert "padded precision" in result.output
    assert run(files[0], "--gold", files[1], "--convention", "all").exit_code == 0


def test_paper_tables_have_a_row_per_collection(files):
    output = run(files[0], "--gold", files[1], "--table").output
    assert row(output, "collection")[2:7] == ["P", "F1@O", "R", "R@O", "M"]
    assert row(output, "a ")[:6] == ["a", "1", "100.0", "-", "-", "0.0"]
    assert row(output, "all")[:3] == ["all", "2", "100.0"]


def test_second_file_and_json(files, tmp_path):
    other = write(tmp_path / "q.jsonl", [{"id": "1", "keyphrases": ["set"]}])
    out = tmp_path / "scores.json"
    result = run(files[0], "--gold", files[1], "--against", other, "--json", str(out))
    assert result.exit_code == 0, result.output
    assert "p (Holm)" in result.output
    assert row(result.output, "F1@5")[1:4] == ["0.0", "75.0", "+75.0"]
    written = orjson.loads(out.read_bytes())[0]
    assert written["convention"]["precision"] == "flexible"
    assert [s["missing"] for s in written["systems"]] == [1, 0]
    assert written["comparison"][0]["difference"] == pytest.approx(0.75)


def test_an_edition_is_its_own_predictions_and_gold(files, tmp_path):
    edition = Storage(tmp_path / "edition")
    blank = {"title": "", "abstract": "", "lang": "en", "year": None, "references": [], "added": None, "extra": "{}"}
    documents = pa.Table.from_pylist([blank | r for r in GOLD], DOCUMENT_SCHEMA)
    phrase = {"score": 0.5, "category": "present", "origins": [], "neighbours": [], "concept": None}
    keyphrases = [{"id": r["id"], "keyphrases": [phrase | {"phrase": p} for p in r["keyphrases"]]} for r in PREDICTED]
    listed = {
        "documents/part-00000.parquet": edition.put_table("documents/part-00000.parquet", documents).as_dict(),
        "keyphrases/part-00000.parquet": edition.put_table(
            "keyphrases/part-00000.parquet", pa.Table.from_pylist(keyphrases, KEYPHRASES_SCHEMA)
        ).as_dict(),
    }
    edition.put_json("manifest.json", {"format": FORMAT, "files": listed})
    result = run("--edition", str(tmp_path / "edition"))
    assert result.exit_code == 0, result.output
    assert row(result.output, "F1@5")[:2] == ["F1@5", "75.0"]
    assert "Calibration of" in result.output
    assert "its own neighbour" in " ".join(result.output.split())
    assert run("--edition", str(tmp_path / "edition"), "--against", files[0]).exit_code == 0
    by_path = run(f"ours={tmp_path / 'edition'}", "--gold", files[1])
    assert row(by_path.output, "F1@5")[-1] == "ours"
    assert row(by_path.output, "F1@5")[1] == "75.0"
    assert row(run(str(tmp_path), "--gold", files[1]).output, "F1@5")[1] == "75.0"  # a folder of editions


def test_tables_of_several_systems_and_gold_files(files, tmp_path):
    many = [{"id": f"m{n}", "title": f"Set {n}", "abstract": "", "keyphrases": [f"set {n}"]} for n in range(12)]
    gold = write(tmp_path / "sets.jsonl", many)
    folder = tmp_path / "each"
    folder.mkdir()
    write(folder / "a.jsonl", PREDICTED)
    write(folder / "b.jsonl", many)
    worse = write(tmp_path / "worse.jsonl", [row | {"keyphrases": ["x"]} for row in many])
    result = run(
        f"each={folder}", "--against", f"worse={worse}", "--against", files[0],
        "--gold", files[1], "--gold", gold, "--table",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    lines = [line.split() for line in result.output.splitlines()]
    sets = [line for line in lines if line[:2] == ["sets", "12"]]
    assert [line[-1] for line in sets[:3]] == ["worse", files[0], "each"]
    assert [line[2] for line in sets[:3]] == ["0.0", "0.0", "100.0†"]
    assert "†: differs from worse" in result.output
    again = run(files[0], "--gold", files[1], "--gold", files[1])
    assert again.exit_code == 2
    assert "`id` '1' is in" in again.stderr


def test_costs_beside_quality(files, tmp_path):
    about = {"name": "generate", "documents": 2, "seconds": 1.0, "cpu_seconds": 1.0, "energy_wh": 0.1}
    cost = write(tmp_path / "p.run.json", [about])
    output = run(files[0], "--gold", files[1], "--table", "--costs", cost).output
    assert row(output, "generate")[1] == "2"
    assert "stated prices" in output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["absent.jsonl", "--gold", "GOLD"], "absent.jsonl: no such file or folder"),
        (["PREDICTED"], "gold: give --gold, or --edition"),
        ([], "predictions: give a file, or --edition"),
        (["PREDICTED", "--gold", "GOLD", "--convention", "best"], "convention: unknown `best`"),
        (["PREDICTED", "--gold", "GOLD", "--matching", "soundex"], "matching: unknown `soundex`"),
        (["GOLD", "--gold", "PREDICTED"], "is this the gold file?"),
        (["--edition", "absent"], "edition: absent does not exist"),
        (["PREDICTED", "--gold", "GOLD", "--json", "no/such/folder.json"], "No such file or directory"),
        (["PREDICTED", "--gold", "GOLD", "--bertscore-model", "jobs"], "bertscore model: cannot load"),
    ],
)
def test_a_fault_of_the_user_is_one_line_and_code_2(files, arguments, message):
    named = {"PREDICTED": files[0], "GOLD": files[1]}
    result = run(*(named.get(a, a) for a in arguments))
    assert result.exit_code == 2
    assert message in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
