from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from kartoteka.encoding.eightbit import EIGHT_BITS, read_eight_bits, write_eight_bits
from kartoteka.encoding.encoder import load_encoder
from kartoteka.encoding.models import resolve_model
from kartoteka.encoding.transformer import load_transformer

TEXTS = ["training of neural networks", "reactor core", ""]


@pytest.fixture
def in_eight_bits(tiny, tmp_path: Path) -> tuple[Path, Path]:
    """A model, and a copy of it that has its weights in eight bits alone."""
    model = tiny("bert")
    copy = shutil.copytree(model, tmp_path / "copy", ignore=shutil.ignore_patterns("*.safetensors"))
    write_eight_bits(load_transformer(resolve_model(str(model))).state_dict(), copy / EIGHT_BITS)
    return model, copy


def test_no_weight_is_off_by_more_than_half_a_step(tmp_path: Path) -> None:
    random = torch.Generator().manual_seed(0)
    rows = torch.randn(50, 7, generator=random) * torch.logspace(-6, 4, 50)[:, None]
    rows[3] = 0
    weights = {"a.weight": rows, "a.bias": torch.randn(7, generator=random)}
    write_eight_bits(weights, tmp_path / EIGHT_BITS)
    found = read_eight_bits(tmp_path / EIGHT_BITS)
    assert set(found) == set(weights)
    assert all(value.dtype == torch.float32 for value in found.values())
    steps = rows.abs().amax(1, keepdim=True) / 127
    assert ((found["a.weight"] - rows).abs() <= steps * 0.501).all()
    torch.testing.assert_close(found["a.bias"], weights["a.bias"], atol=2e-3, rtol=0)


def test_what_is_no_number_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"weights: a\.weight"):
        write_eight_bits({"a.weight": torch.tensor([[1.0, float("nan")]])}, tmp_path / EIGHT_BITS)
    assert not (tmp_path / EIGHT_BITS).exists()


@pytest.mark.parametrize("precision", ["fp32", "auto"])
def test_a_model_says_nearly_the_same(in_eight_bits: tuple[Path, Path], precision: str) -> None:
    before, after = (load_encoder(str(model), precision=precision).encode(TEXTS) for model in in_eight_bits)
    assert ((before * after).sum(1) > 0.999).all()
    assert (before != after).any()


def test_another_library_does_not_take_it_for_a_model(in_eight_bits: tuple[Path, Path]) -> None:
    from transformers import AutoModel

    with pytest.raises(OSError, match="no file named"):
        AutoModel.from_pretrained(in_eight_bits[1], local_files_only=True)


def test_files_that_do_not_do(in_eight_bits: tuple[Path, Path]) -> None:
    path = in_eight_bits[1] / EIGHT_BITS
    whole = load_file(path)
    name = next(name for name in whole if f"{name}.scale" in whole and "layer.0" in name)
    for changed, message in (
        ({name: None, f"{name}.scale": None}, f"lack {name}"),
        ({f"{name}.scale": None}, f"{name} is not stored"),
        ({name: whole[name].float()}, f"{name} is not stored"),
        ({f"{name}.scale": whole[f"{name}.scale"][:-1].clone()}, f"{name} is not stored"),
        ({name: whole[name][:, :-1].clone()}, f"{name} has the shape"),
        ({name: None}, f"{name}.scale is not stored"),
    ):
        save_file({key: value for key, value in (whole | changed).items() if value is not None}, path)
        with pytest.raises(ValueError, match=rf"^encoder: .*({message})"):
            load_encoder(str(in_eight_bits[1]))
    path.write_bytes(b"torn")
    with pytest.raises(ValueError, match="damaged"):
        load_encoder(str(in_eight_bits[1]))


def test_its_hash_is_that_of_the_stored_weights(in_eight_bits: tuple[Path, Path]) -> None:
    before, after = (resolve_model(str(model)).sha256 for model in in_eight_bits)
    assert before != after == hashlib.sha256((in_eight_bits[1] / EIGHT_BITS).read_bytes()).hexdigest()
