from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path

import numpy as np
import pytest
from ranking_worlds import made_fusion, make_ranker

from kartoteka.encoding.models import resolve_model
from kartoteka.encoding.spans import LONGEST, SpanHead, read_head
from kartoteka.encoding.transformer import load_transformer
from kartoteka.keyphrases.ranker import Ranker
from kartoteka.ranking.directory import add_fusion, open_ranker, write_ranker
from kartoteka.ranking.settings import RankerSettings


@pytest.fixture
def ranker(tiny_encoder: Path, tmp_path: Path) -> Path:
    settings = RankerSettings(separator=" | ", max_phrase_tokens=7)
    return make_ranker(tmp_path, tiny_encoder, settings, ["a", "b"], seed=None)


def test_without_scores_of_spans_there_is_no_head(ranker: Path) -> None:
    assert open_ranker(str(ranker)).spans is None
    assert "spans" not in open_ranker(str(ranker)).identity
    values = json.loads((ranker / "ranker.json").read_text())
    del values["spans"]  # as an earlier version wrote it
    (ranker / "ranker.json").write_text(json.dumps(values))
    assert open_ranker(str(ranker)).spans is None


def test_a_head_is_kept_beside_the_encoder_and_checked(ranker: Path, tmp_path: Path) -> None:
    folder = tmp_path / "with"
    folder.mkdir()
    head = SpanHead(*(np.full(shape, 0.5, np.float32) for shape in ((LONGEST, 4), (LONGEST, 4), (LONGEST,))))
    transformer = load_transformer(resolve_model(str(ranker / "encoder")))
    write_ranker(folder, transformer, ranker / "encoder", RankerSettings(), np.zeros(0, np.uint64), {}, head)
    found = open_ranker(str(folder))
    assert (read_head(found.spans).first == 0.5).all()
    assert found.identity["spans"] == hashlib.sha256(found.spans.read_bytes()).hexdigest()
    add_fusion(folder, made_fusion(seed=0))
    assert open_ranker(str(folder)).spans == found.spans
    found.spans.write_bytes(b"torn")
    with pytest.raises(ValueError, match=r"spans\.safetensors is not the file"):
        open_ranker(str(folder))


def test_what_is_written_is_read(ranker: Path) -> None:
    found = open_ranker(str(ranker))
    assert found.separator == " | "
    assert found.phrase_tokens == 7
    assert found.fusion is None
    assert found.has_seen(["b", "c", "a"]).tolist() == [True, False, True]
    assert found.identity["encoder"] == resolve_model(str(ranker / "encoder")).sha256


def killed(*_: object) -> None:
    raise KeyboardInterrupt


def test_a_fusion_is_added_and_checked(ranker: Path) -> None:
    add_fusion(ranker, made_fusion(seed=0))
    found = open_ranker(str(ranker))
    assert Ranker.open(found.fusion).names == ("one", "other")
    assert found.identity["fusion"]
    sink = io.BytesIO()
    np.savez(sink, other=np.zeros(1))
    add_fusion(ranker, sink.getvalue())
    with pytest.raises(ValueError, match="not a ranker"):
        open_ranker(str(ranker))


def test_a_kill_while_a_fusion_is_added_leaves_the_directory_as_it_was(
    ranker: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_fusion(ranker, made_fusion(seed=0))
    before = open_ranker(str(ranker))
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            add_fusion(ranker, made_fusion(seed=1))
    assert open_ranker(str(ranker)) == before
    add_fusion(ranker, made_fusion(seed=1))
    after = open_ranker(str(ranker))
    assert after.identity["fusion"] != before.identity["fusion"]
    assert [path.name for path in ranker.glob("fusion-*")] == [after.fusion.name]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / "ranker.json").unlink(), "no ranker.json"),
        (lambda f: (f / "ranker.json").write_text("{"), "not JSON"),
        (lambda f: (f / "ranker.json").write_text("[]"), "does not describe"),
        (lambda f: (f / "ranker.json").write_text(json.dumps({"kind": "other"})), "does not describe"),
        (lambda f: (f / "seen.npy").unlink(), "seen.npy is missing"),
        (lambda f: (f / "seen.npy").write_bytes(b"x"), "seen.npy is not the file"),
        (lambda f: (f / "encoder" / "model.safetensors").write_bytes(b"x" * 99), "model.safetensors is not the file"),
    ],
)
def test_a_foreign_or_corrupt_directory_is_named(ranker: Path, damage, message: str) -> None:
    damage(ranker)
    with pytest.raises(ValueError, match=message):
        open_ranker(str(ranker))


def test_another_format(ranker: Path) -> None:
    values = json.loads((ranker / "ranker.json").read_text())
    (ranker / "ranker.json").write_text(json.dumps(values | {"format": 99}))
    with pytest.raises(ValueError, match="format 99"):
        open_ranker(str(ranker))


def test_no_directory(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no directory"):
        open_ranker(str(tmp_path / "absent"))
