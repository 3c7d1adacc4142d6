from __future__ import annotations

import re
from pathlib import Path

import pytest
from ranking_worlds import made_fusion, make_ranker
from typer.testing import CliRunner

from jobs.__main__ import app
from kartoteka.encoding.encoder import load_encoder
from kartoteka.ranking.directory import PLAIN_ENCODER, add_fusion, open_ranker
from kartoteka.ranking.settings import RankerSettings


@pytest.fixture
def ranker(tiny_encoder: Path, tmp_path: Path) -> Path:
    """One with a head, a fusion and a card."""
    folder = make_ranker(tmp_path, tiny_encoder, RankerSettings(), ["a"], seed=0)
    add_fusion(folder, made_fusion(seed=0))
    return folder


def run(*arguments: object):
    return CliRunner().invoke(app, ["quantise", *map(str, arguments)])


def test_a_ranker_becomes_smaller_and_stays_one(ranker: Path, tmp_path: Path) -> None:
    out = tmp_path / "small"
    result = run(ranker, "--out", out)
    assert result.exit_code == 0, result.output
    before, after = open_ranker(str(ranker)), open_ranker(str(out))
    weights = [sum(f.stat().st_size for f in files.encoder.glob("*.safetensors")) for files in (before, after)]
    assert weights[1] < 0.75 * weights[0]  # of a tiny model names and scales are much
    assert before.fusion is not None
    assert after.fusion is None
    assert not list(out.glob("fusion*"))
    assert after.spans_sha256 == before.spans_sha256
    assert after.encoder_sha256 != before.encoder_sha256
    assert after.has_seen(["a", "b"]).tolist() == [True, False]
    assert "eight bits" in (out / "README.md").read_text()
    assert PLAIN_ENCODER in (ranker / "README.md").read_text()
    assert PLAIN_ENCODER not in (out / "README.md").read_text()
    texts = ["training of neural network", "reactor core"]
    vectors = [load_encoder(str(files.encoder), precision="fp32").encode(texts) for files in (before, after)]
    assert ((vectors[0] * vectors[1]).sum(1) > 0.999).all()


def test_errors_are_one_line_and_leave_what_is_there(ranker: Path, tmp_path: Path) -> None:
    assert run(ranker, "--out", tmp_path / "small").exit_code == 0
    for arguments, message in (
        ((ranker, "--out", tmp_path / "small"), "out: .* exists"),
        ((tmp_path / "small", "--out", tmp_path / "smaller"), "eight bits already"),
        ((tmp_path / "absent", "--out", tmp_path / "other"), "there is no directory"),
    ):
        result = run(*arguments)
        assert result.exit_code == 2
        assert re.search(message, result.output)
        assert len(result.output.strip().splitlines()) == 1
    assert not (tmp_path / "smaller").exists()
    assert open_ranker(str(ranker)).fusion is not None
