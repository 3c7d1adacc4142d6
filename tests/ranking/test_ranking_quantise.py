from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from ranking_worlds import made_fusion
from typer.testing import CliRunner

from jobs.__main__ import app
from kartoteka.encoding.encoder import load_encoder
from kartoteka.encoding.models import resolve_model
from kartoteka.encoding.spans import LONGEST, SpanHead
from kartoteka.encoding.transformer import load_transformer
from kartoteka.keyphrases.hashing import hash_words
from kartoteka.ranking.directory import add_fusion, open_ranker, write_ranker
from kartoteka.ranking.settings import RankerSettings, StudentSettings
from kartoteka.ranking.student import write_student


@pytest.fixture
def ranker(tiny_encoder: Path, tmp_path: Path) -> Path:
    """One with a head, a fusion and a card."""
    student, folder = tmp_path / "student", tmp_path / "model"
    student.mkdir()
    folder.mkdir()
    write_student(resolve_model(str(tiny_encoder)), student, StudentSettings(), 64)
    transformer = load_transformer(resolve_model(str(student)))
    width = transformer.config.hidden_size
    head = SpanHead(*(np.full(shape, 0.5, np.float32) for shape in [(LONGEST, width)] * 2 + [(LONGEST,)]))
    write_ranker(folder, transformer, student, RankerSettings(), np.sort(hash_words(["a"])), {"data": 1}, head)
    add_fusion(folder, made_fusion(seed=0))
    (folder / "README.md").write_text("# card\n")
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
