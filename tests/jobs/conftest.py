"""A small real corpus, and the command run as a user runs it: a process of its own, on the session's cluster."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from reindexing import records

ROOT = Path(__file__).parents[2]
CONFIG = """
[flow]
part_rows = 40

[keyphrases]
training_documents = 200
rounds = 20

[clusters]
rounds = 4
group_documents = 90
"""


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """200 documents in two files, one of them with a repeated id and a line that is no JSON."""
    folder = tmp_path / "corpus"
    folder.mkdir()
    rows = [json.dumps(row, ensure_ascii=False) for row in records(200)]
    (folder / "a.jsonl").write_text("\n".join(rows[:120]) + "\n", encoding="utf-8")
    (folder / "b.jsonl").write_text("\n".join([*rows[120:], rows[3], '{"id": 1']) + "\n", encoding="utf-8")
    return folder


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Small parts, a quick ranker, clusters in several groups."""
    path = tmp_path / "config.toml"
    path.write_text(CONFIG)
    return path


@pytest.fixture
def start(ray_session: str, tiny_encoder: Path, config: Path) -> Callable[..., subprocess.Popen[str]]:
    """Start `kartoteka reindex ARGUMENTS` with the tiny encoder on the session's cluster."""

    def begin(*arguments: object, encoder: object = tiny_encoder, **environment: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "jobs", "reindex", *map(str, arguments), "--encoder", str(encoder)]
        if "--config" not in command:
            command += ["--config", str(config)]
        if "--encoder-gpus" not in command:
            command += ["--encoder-gpus", "0"]  # that of the session is a name only
        path = os.pathsep.join([str(ROOT / "platform"), str(ROOT), os.environ.get("PYTHONPATH", "")])
        return subprocess.Popen(
            command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env=os.environ | {"RAY_ADDRESS": ray_session, "PYTHONPATH": path, "COLUMNS": "200"} | environment,
        )  # fmt: skip

    return begin


@pytest.fixture
def run(start: Callable[..., subprocess.Popen[str]]) -> Callable[..., subprocess.CompletedProcess[str]]:
    """The same, waited for."""

    def finish(*arguments: object, **options: str) -> subprocess.CompletedProcess[str]:
        process = start(*arguments, **options)
        out, err = process.communicate(timeout=240)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    return finish
