"""`kartoteka promote`, `serve` and `key` as commands: what they refuse, and what they write."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def kartoteka(*arguments: object) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(ROOT / "platform"), str(ROOT)])
    return subprocess.run(
        [sys.executable, "-m", "jobs", *map(str, arguments)], cwd=ROOT, text=True, capture_output=True, timeout=120,
        env=os.environ | {"PYTHONPATH": path, "COLUMNS": "200"},
    )  # fmt: skip


def test_promotion_checks_every_file_and_moves_the_pointer(small_edition: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    shutil.copytree(small_edition, first)
    shutil.copytree(small_edition, second)
    pointer = tmp_path / "current.json"
    assert kartoteka("promote", first).returncode == 0
    assert json.loads(pointer.read_text())["edition"] == "first"
    changed = next((second / "documents").glob("*.parquet"))
    changed.write_bytes(changed.read_bytes()[:-1] + b"!")
    refused = kartoteka("promote", second)
    assert refused.returncode == 2
    assert refused.stderr.strip() == f"edition: {second} is damaged: documents/{changed.name} is changed"
    assert json.loads(pointer.read_text())["edition"] == "first"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--edition", "nothing"], "does not exist"),
        (["--edition", "current.json"], "`kartoteka promote` makes it"),
        (["--edition", "{edition}", "--host", "0.0.0.0"], "needs a key file"),
        (["--edition", "{edition}", "--keys", "keys.toml"], "cannot read keys.toml"),
        (["--edition", "{edition}", "--config", "misspelt.yaml"], "did you mean `max_ongoing_requests`"),
    ],
)
def test_what_cannot_be_served_is_refused_before_anything_starts(
    small_edition: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], said: str
) -> None:
    from typer.testing import CliRunner

    from jobs.__main__ import app

    monkeypatch.chdir(tmp_path)
    text = (ROOT / "serve" / "local.yaml").read_text()
    Path("misspelt.yaml").write_text(text.replace("max_ongoing_requests", "max_ongoing_request"))
    refused = CliRunner().invoke(app, ["serve", *(word.format(edition=small_edition) for word in arguments)])
    assert refused.exit_code == 2
    assert said in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1


def test_a_key_is_shown_once_and_kept_as_its_hash(tmp_path: Path) -> None:
    from serve.access import Keys

    keys = tmp_path / "keys.toml"
    made = kartoteka("key", "catalogue", "--keys", keys, "--scope", "search", "--scope", "documents")
    assert made.returncode == 0, made.stderr
    secret = made.stdout.strip()
    assert secret not in keys.read_text()
    assert Keys.open(keys).identify(None, secret).name == "catalogue"
    assert kartoteka("key", "catalogue", "--keys", keys).returncode == 2
    assert kartoteka("key", "other", "--keys", keys, "--scope", "everything").returncode == 2
