"""A small real corpus, and the command run as a user runs it: a process of its own, on the session's cluster."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from reindexing import CONFIG, start_reindex, write_corpus


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """200 documents in two files, one of them with a repeated id and a line that is no JSON."""
    return write_corpus(tmp_path / "corpus")


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
        given = [*map(str, arguments), "--encoder", str(encoder)]
        if "--config" not in given:
            given += ["--config", str(config)]
        return start_reindex(ray_session, given, environment)

    return begin


@pytest.fixture
def run(start: Callable[..., subprocess.Popen[str]]) -> Callable[..., subprocess.CompletedProcess[str]]:
    """The same, waited for."""

    def finish(*arguments: object, **options: str) -> subprocess.CompletedProcess[str]:
        process = start(*arguments, **options)
        out, err = process.communicate(timeout=240)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    return finish
