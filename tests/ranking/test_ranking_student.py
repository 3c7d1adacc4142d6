from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from kartoteka.encoding.encoder import load_encoder
from kartoteka.encoding.models import resolve_model
from kartoteka.encoding.settings import EncodingSettings
from kartoteka.encoding.transformer import load_tokenizer
from kartoteka.ranking.settings import StudentSettings
from kartoteka.ranking.student import write_student

TEXTS = ["graph theory", "a reactor core", "каталог", "zzz 42", "library catalogue of the reactor"]


def uses_of(model: Path, texts: list[str]) -> np.ndarray:
    encoder = load_encoder(str(model), precision="fp32")
    return np.bincount(encoder.tokenise(texts).ids, minlength=1)


def student(model: Path, folder: Path, settings: StudentSettings, texts: list[str] = TEXTS) -> Path:
    folder.mkdir(exist_ok=True)
    uses = uses_of(model, texts) if settings.vocabulary is not None else None
    write_student(resolve_model(str(model)), folder, settings, 48, uses)
    return folder


def vectors(model: Path, precision: str = "fp32", texts: list[str] = TEXTS) -> np.ndarray:
    return load_encoder(str(model), precision=precision, settings=EncodingSettings()).encode(texts)


def test_with_all_that_is_used_the_vectors_are_equal(tiny, tmp_path: Path) -> None:
    """Words of the tiny model are pieces of their own: those that the texts do not use are dropped, ids move."""
    base = tiny("bert")
    texts = ["cat dog archive", "neural network zzz", "книга café abc"]
    made = student(base, tmp_path / "s", StudentSettings(vocabulary=100, positions=48), texts)
    small, large = (json.loads((m / "config.json").read_text()) for m in (made, base))
    assert small["vocab_size"] < large["vocab_size"]
    assert small["max_position_embeddings"] == 48
    np.testing.assert_allclose(vectors(made, texts=texts), vectors(base, texts=texts), atol=1e-6)


def test_a_dropped_word_is_spelled_in_pieces(tiny_encoder: Path, tmp_path: Path) -> None:
    made = student(tiny_encoder, tmp_path / "s", StudentSettings(vocabulary=1))
    before, after = (load_encoder(str(m), precision="fp32") for m in (tiny_encoder, made))
    # Letters are single characters: all stay, so nothing changes but what no text can use.
    assert after.tokenise(TEXTS).lengths.tolist() == before.tokenise(TEXTS).lengths.tolist()


def test_the_most_used_pieces_stay(tiny, tmp_path: Path) -> None:
    base = tiny("bert")
    made = student(base, tmp_path / "s", StudentSettings(vocabulary=2), ["cat cat cat dog dog archive"])
    vocabulary = json.loads((made / "tokenizer.json").read_text())["model"]["vocab"]
    assert {"cat", "dog", "[UNK]", "[CLS]", "##a", "a"} <= set(vocabulary)
    assert "archive" not in vocabulary
    assert sorted(vocabulary.values()) == list(range(len(vocabulary)))


def test_layers_are_kept_in_order(tiny_encoder: Path, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file

    made = student(tiny_encoder, tmp_path / "s", StudentSettings(layers=[1]))
    before, after = (load_file(m / "model.safetensors") for m in (tiny_encoder, made))
    name = "encoder.layer.{}.output.dense.weight"
    assert torch.equal(after[name.format(0)], before[name.format(1)])
    assert name.format(1) not in after


def test_both_cpu_paths_and_sentence_transformers_load_it(tiny_encoder: Path, tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer

    made = student(tiny_encoder, tmp_path / "s", StudentSettings(layers=[0], vocabulary=50, positions=64))
    plain = vectors(made)
    np.testing.assert_allclose((vectors(made, "int16") * plain).sum(1), 1, atol=1e-3)
    other = SentenceTransformer(str(made), device="cpu").encode(TEXTS, normalize_embeddings=True)
    np.testing.assert_allclose(other, plain, atol=1e-5)


def test_what_cannot_be_kept_is_said(tiny, tiny_encoder: Path, tmp_path: Path) -> None:
    for layers in ([2], [1, 0], [0, 0]):
        with pytest.raises(ValueError, match="layers"):
            student(tiny_encoder, tmp_path / "s", StudentSettings(layers=layers))
    with pytest.raises(ValueError, match="Dense module"):
        student(tiny("bert", dense=True), tmp_path / "t", StudentSettings())


def test_a_roberta_keeps_its_padding(tiny, tmp_path: Path) -> None:
    """Its positions begin behind the padding id, which must keep its place."""
    base = tiny("roberta")
    made = student(base, tmp_path / "s", StudentSettings(positions=48))
    np.testing.assert_allclose(vectors(made), vectors(base), atol=1e-6)


@pytest.mark.parametrize("kind", ["bert", "roberta", "mpnet", "distilbert"])
def test_it_reads_no_more_than_it_has_positions_for(tiny, tmp_path: Path, kind: str) -> None:
    for positions, wanted in ((20, 20), (None, 48), (60, 48)):
        made = student(tiny(kind), tmp_path / f"s{positions}", StudentSettings(positions=positions))
        assert load_tokenizer(resolve_model(str(made)))[1] == wanted
        encoder = load_encoder(str(made), precision="fp32")
        assert encoder.tokenise(["cat " * 200]).lengths.tolist() == [wanted]
        assert np.isfinite(encoder.encode(["cat " * 200])).all()
