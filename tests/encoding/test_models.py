from __future__ import annotations

import json
import shutil

import pytest

from kartoteka.encoding import models
from kartoteka.encoding.encoder import load_encoder
from kartoteka.encoding.models import DEMO_SHA256, resolve_model


@pytest.fixture
def copy(tiny, tmp_path):
    return shutil.copytree(tiny("bert"), tmp_path / "model")


def refused(model, **options):
    with pytest.raises(ValueError, match=r"^encoder: ") as caught:
        load_encoder(str(model), **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_demo():
    files = resolve_model("demo")
    assert files.sha256 == DEMO_SHA256
    assert (files.poolings, files.max_tokens, files.name) == (("mean",), 256, "all-MiniLM-L6-v2")


def test_demo_with_other_weights_is_refused(monkeypatch):
    monkeypatch.setattr(models, "DEMO_SHA256", "0" * 64)
    assert "SHA-256" in refused("demo")


def test_not_a_model(tmp_path):
    assert "no directory" in refused(tmp_path / "absent")
    assert "no config.json" in refused(tmp_path)
    (tmp_path / "file").write_text("x")
    assert "is a file" in refused(tmp_path / "file")


def test_revision_of_a_directory(copy):
    assert "revision" in refused(copy, revision="main")


def test_hub_id_without_a_hub(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    assert "no-such/model" in refused("no-such/model")


def test_no_weights(copy):
    (copy / "model.safetensors").unlink()
    (copy / "pytorch_model.bin").write_bytes(b"pickle")
    assert "no weights in safetensors" in refused(copy)


@pytest.mark.parametrize("keep", [0, 5, 4000])
def test_truncated_weights(copy, keep):
    path = copy / "model.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    assert "damaged" in refused(copy)


def test_weights_of_another_model(copy, tiny):
    shutil.copy(tiny("distilbert") / "model.safetensors", copy / "model.safetensors")
    assert "lack" in refused(copy)


def test_weights_of_another_size(copy, tiny):
    shutil.copy(tiny("bert", dense=True, hidden=64, heads=8) / "model.safetensors", copy / "model.safetensors")
    assert "cannot be loaded" in refused(copy)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("config.json", "cannot be loaded"),
        ("modules.json", "cannot read modules.json"),
        ("1_Pooling/config.json", "cannot read config.json"),
        ("tokenizer.json", "no usable tokeniser"),
    ],
)
def test_broken_json(copy, name, message):
    (copy / name).write_text('{"broken": ')
    assert message in refused(copy)


@pytest.mark.parametrize("value", [None, 3, {"a": 1}, [{"idx": 0}]])
def test_modules_of_a_wrong_shape(copy, value):
    (copy / "modules.json").write_text(json.dumps(value))
    assert "modules.json" in refused(copy)


def test_no_tokeniser(copy):
    for path in copy.glob("token*.json"):
        path.unlink()
    assert "no tokeniser" in refused(copy)


def test_unknown_architecture(copy):
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**config, "model_type": "nonesuch"}))
    assert "nonesuch" in refused(copy)


@pytest.mark.parametrize(
    ("pooling", "word"), [({"pooling_mode": "lasttoken"}, "lasttoken"), ({"include_prompt": False}, "prompt")]
)
def test_unsupported_pooling(copy, pooling, word):
    (copy / "1_Pooling" / "config.json").write_text(json.dumps({"word_embedding_dimension": 40, **pooling}))
    assert word in refused(copy)


def test_unsupported_module(copy):
    modules = json.loads((copy / "modules.json").read_text())
    modules[2]["type"] = "sentence_transformers.models.WordWeights"
    (copy / "modules.json").write_text(json.dumps(modules))
    assert "WordWeights" in refused(copy)


def test_module_outside_the_directory(copy):
    modules = json.loads((copy / "modules.json").read_text())
    modules[1]["path"] = "../elsewhere"
    (copy / "modules.json").write_text(json.dumps(modules))
    assert "outside" in refused(copy)


def test_legacy_pooling_flags(copy):
    flags = {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": True, "pooling_mode_max_tokens": False}
    (copy / "1_Pooling" / "config.json").write_text(json.dumps({"word_embedding_dimension": 40, **flags}))
    assert resolve_model(str(copy)).poolings == ("cls", "mean")


def test_a_bare_transformers_directory_is_pooled_by_mean(copy):
    (copy / "modules.json").unlink()
    assert resolve_model(str(copy)).poolings == ("mean",)


def test_the_fingerprint_is_that_of_the_weights(copy, tiny):
    other = tiny("bert", pooling="cls")  # the same random numbers
    assert resolve_model(str(copy)).sha256 == resolve_model(str(other)).sha256
    assert resolve_model(str(copy)).sha256 != resolve_model(str(tiny("roberta"))).sha256
    assert resolve_model(str(tiny("bert", dense=True))).sha256 != resolve_model(str(copy)).sha256
