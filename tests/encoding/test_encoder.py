from __future__ import annotations

import logging
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer

from kartoteka.encoding import native
from kartoteka.encoding.amx import AmxBert
from kartoteka.encoding.encoder import load_encoder
from kartoteka.encoding.native import amx_kernels, has_vnni
from kartoteka.encoding.packed import PackedBert
from kartoteka.encoding.precision import fastest_on_cpu
from kartoteka.encoding.settings import EncodingSettings
from kartoteka.encoding.transformer import PaddedTransformer

AVX2 = torch.backends.cpu.get_cpu_capability() in ("AVX2", "AVX512")
needs_amx = pytest.mark.skipif(amx_kernels() is None, reason="the kernel needs AMX")
INT16 = pytest.param("int16", marks=pytest.mark.skipif(not AVX2, reason="the kernel needs AVX2"))
AMX = pytest.param("bf16", marks=needs_amx)
PRECISIONS = ["fp32", INT16]


def cosines(ours, theirs):
    theirs = np.asarray(theirs, np.float64)
    return (ours * theirs).sum(1) / np.linalg.norm(theirs, axis=1)


def reference(directory, texts):
    return SentenceTransformer(str(directory), device="cpu").encode(texts, batch_size=8)


@pytest.mark.parametrize("precision", [*PRECISIONS, AMX])
@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("bert", {}),
        ("bert", {"pooling": "cls", "activation": "gelu_new"}),
        ("bert", {"pooling": "max", "activation": "relu"}),
        ("bert", {"pooling": ["mean", "mean_sqrt_len_tokens"], "heads": 1}),
        ("bert", {"dense": True, "hidden": 64, "heads": 8}),
        ("roberta", {}),
        ("mpnet", {}),
        ("mpnet", {"hidden": 64, "heads": 8}),
    ],
    ids=str,
)
def test_same_vectors_as_sentence_transformers(tiny, texts, kind, options, precision):
    encoder = load_encoder(str(tiny(kind, **options)), precision=precision)
    ours = encoder.encode(texts)
    assert ours.dtype == np.float32
    assert ours.shape == (len(texts), encoder.dimension)
    np.testing.assert_allclose(np.linalg.norm(ours, axis=1), 1, atol=1e-5)
    least = {"fp32": 0.99999, "int16": 0.9999, "bf16": 0.999}[precision]
    assert cosines(ours, reference(tiny(kind, **options), texts)).min() > least


def test_a_model_outside_the_family_takes_the_padded_path(tiny, texts):
    directory = tiny("distilbert")
    encoder = load_encoder(str(directory))
    assert encoder.identity["precision"] in ("fp32", "bf16")
    exact = load_encoder(str(directory), precision="fp32").encode(texts)
    assert cosines(exact, reference(directory, texts)).min() > 0.99999
    with pytest.raises(ValueError, match=r"^precision: int16 needs"):
        load_encoder(str(directory), precision="int16")


@pytest.mark.parametrize("kind", ["roberta", "mpnet"])
def test_packed_and_padded_agree_on_states(tiny, texts, kind):
    encoder = load_encoder(str(tiny(kind)), precision="fp32")
    from transformers import AutoModel

    model = AutoModel.from_pretrained(tiny(kind), dtype=torch.float32)
    padded = PaddedTransformer(model.eval(), torch.device("cpu"), torch.float32)
    tokens = encoder.tokenise(texts)
    ids, lengths = torch.from_numpy(tokens.ids.astype(np.int64)), tokens.lengths.tolist()
    with torch.inference_mode():
        torch.testing.assert_close(encoder._states(ids, lengths), padded(ids, lengths), atol=2e-4, rtol=1e-4)


def test_bf16_is_near_even_where_it_is_not_native(tiny, texts, caplog):
    exact = load_encoder(str(tiny("bert")), precision="fp32").encode(texts)
    with caplog.at_level(logging.WARNING):
        near = load_encoder(str(tiny("bert")), precision="bf16")
    assert cosines(near.encode(texts), exact).mean() > 0.999
    native_bf16 = torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
    assert native_bf16 or any("bf16 is not native" in record.message for record in caplog.records)


@pytest.mark.parametrize("precision", ["auto", "fp32", "bf16"])
def test_minilm(precision):
    texts = [
        "Kartoteka. " + "A library archive is embedded, given keyphrases, clustered and made searchable. " * n
        for n in (1, 3, 9, 30)
    ] + ["Сети Петри и их применение", "une bibliothèque numérique", "", "graph neural networks for citation analysis"]
    encoder = load_encoder("demo", precision=precision)
    assert (encoder.dimension, encoder.max_tokens) == (384, 256)
    found = cosines(encoder.encode(texts), reference(encoder._files.directory, texts))
    assert found.min() > {"fp32": 0.99999, "int16": 0.9999, "bf16": 0.9998}[encoder.identity["precision"]]
    assert found.mean() > 0.9999


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_compiled_layers_agree(tiny, texts, precision, caplog):
    plain = load_encoder(str(tiny("bert")), precision=precision).encode(texts)
    settings = EncodingSettings(compile=True, token_budget=100)  # batches of several sizes
    encoder = load_encoder(str(tiny("bert")), precision=precision, settings=settings)
    assert cosines(encoder.encode(texts), plain).min() > (0.99999 if precision == "fp32" else 0.999)
    assert not any("torch.compile failed" in record.message for record in caplog.records)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_same_list_same_bits(tiny, texts, precision):
    encoder = load_encoder(str(tiny("bert")), precision=precision, settings=EncodingSettings(token_budget=100))
    first = encoder.encode(texts)
    encoder.encode(texts[::-1] * 3)
    np.testing.assert_array_equal(encoder.encode(texts), first)
    again = load_encoder(str(tiny("bert")), precision=precision, settings=EncodingSettings(token_budget=100))
    np.testing.assert_array_equal(again.encode(texts), first)


@needs_amx
@pytest.mark.parametrize("kind", ["bert", "mpnet"])
def test_amx_is_nearer_to_fp32_than_torch_is(tiny, texts, kind):
    encoder = load_encoder(str(tiny(kind)), precision="bf16")
    assert isinstance(encoder._states, AmxBert)
    exact = load_encoder(str(tiny(kind)), precision="fp32")
    from transformers import AutoModel

    torchs = PackedBert(AutoModel.from_pretrained(tiny(kind), dtype=torch.float32).eval(), torch.bfloat16)
    tokens = encoder.tokenise(texts)
    ids, lengths = torch.from_numpy(tokens.ids.astype(np.int64)), tokens.lengths.tolist()
    with torch.inference_mode():
        wanted = exact._states(ids, lengths)
        ours, theirs = (states(ids, lengths).float() - wanted for states in (encoder._states, torchs))
    assert ours.norm() < 0.8 * theirs.norm()


@needs_amx
def test_without_its_kernels_bf16_is_torchs(tiny, texts, monkeypatch):
    ours = load_encoder(str(tiny("bert")), precision="bf16").encode(texts)
    monkeypatch.setattr(native, "amx_kernels", lambda: None)
    encoder = load_encoder(str(tiny("bert")), precision="bf16")
    assert isinstance(encoder._states, PackedBert)
    assert cosines(encoder.encode(texts), ours).min() > 0.999


@needs_amx
def test_batches_are_as_large_as_the_rows_that_texts_take_up(tiny):
    encoder = load_encoder(str(tiny("bert")), precision="bf16", settings=EncodingSettings(token_budget=64))
    tokens = encoder.tokenise(["cat"] * 9)
    assert tokens.lengths.tolist() == [3] * 9
    assert [len(batch) for batch, _ in encoder._batches(tokens, lambda states, lengths: None)] == [4, 4, 1]


@pytest.mark.parametrize("precision", [INT16, AMX])
@pytest.mark.parametrize("kind", ["bert", "mpnet"])
def test_our_kernels_give_a_text_the_same_bits_in_any_company(tiny, texts, kind, precision):
    alone = load_encoder(str(tiny(kind)), precision=precision, settings=EncodingSettings(token_budget=16))
    together = load_encoder(str(tiny(kind)), precision=precision, settings=EncodingSettings(threads=2))
    first = alone.encode(texts)
    np.testing.assert_array_equal(together.encode(texts), first)
    np.testing.assert_array_equal(together.encode(texts[::-1])[::-1], first)


@pytest.mark.skipif(not has_vnni(), reason="the other kernel needs VNNI")
def test_both_int16_kernels_give_the_same_bits(tiny, texts, monkeypatch):
    ours = load_encoder(str(tiny("bert")), precision="int16").encode(texts)
    monkeypatch.setattr(native, "has_vnni", lambda: False)
    native.kernels.cache_clear()
    try:
        np.testing.assert_array_equal(load_encoder(str(tiny("bert")), precision="int16").encode(texts), ours)
    finally:
        native.kernels.cache_clear()


def matrix_of(encoder, columns=10):
    return np.random.default_rng(0).normal(size=(encoder.width, columns)).astype(np.float32)


@pytest.mark.parametrize(
    ("kind", "precision", "threads", "near"),
    [
        ("roberta", "fp32", 1, 1e-3),
        ("distilbert", "fp32", 1, 1e-3),
        ("bert", "bf16", 1, 0.5),
        pytest.param("bert", "int16", 2, 0.05, marks=PRECISIONS[1].marks),
    ],
)
def test_products_are_those_of_each_texts_states(tiny, texts, kind, precision, threads, near):
    settings = EncodingSettings(token_budget=100, threads=threads)
    encoder = load_encoder(str(tiny(kind)), precision=precision, settings=settings)
    exact = load_encoder(str(tiny(kind)), precision="fp32")
    tokens, matrix = encoder.tokenise(texts), matrix_of(encoder)
    vectors, products = encoder.project(tokens, matrix)
    np.testing.assert_array_equal(vectors, encoder.encode_tokens(tokens))
    assert products.shape == (len(tokens.ids), 10)
    assert products.dtype == np.float32
    for start, stop in pairwise(tokens.offsets):
        ids = torch.from_numpy(tokens.ids[start:stop].astype(np.int64))
        with torch.inference_mode():
            wanted = exact._states(ids, [len(ids)]).numpy() @ matrix
        np.testing.assert_allclose(products[start:stop], wanted, atol=near * np.abs(wanted).max())


@pytest.mark.skipif(not AVX2, reason="the kernel needs AVX2")
def test_int16_gives_products_the_same_bits_in_any_company(tiny, texts):
    alone = load_encoder(str(tiny("bert")), precision="int16", settings=EncodingSettings(token_budget=16))
    together = load_encoder(str(tiny("bert")), precision="int16", settings=EncodingSettings(threads=2))
    matrix = matrix_of(alone)
    _, first = alone.project(alone.tokenise(texts), matrix)
    np.testing.assert_array_equal(together.project(together.tokenise(texts), matrix)[1], first)
    backwards = together.tokenise(texts[::-1])
    pieces = np.split(together.project(backwards, matrix)[1], backwards.offsets[1:-1])
    np.testing.assert_array_equal(np.concatenate(pieces[::-1]), first)


def test_a_matrix_of_another_width_is_refused(tiny):
    encoder = load_encoder(str(tiny("bert")))
    with pytest.raises(ValueError, match="matrix: 41 rows for states of 40"):
        encoder.project(encoder.tokenise(["the cat"]), np.zeros((41, 10), np.float32))
    vectors, products = encoder.project(encoder.tokenise([]), matrix_of(encoder))
    assert (vectors.shape, products.shape) == ((0, encoder.dimension), (0, 10))


AVX2_ONLY = {"amx": False, "avx512_bf16": False, "avx512_vnni": False, "vectors": "AVX2"}


@pytest.mark.parametrize(
    ("more", "int16", "wanted"),
    [
        ({}, True, "int16"),
        ({}, False, "fp32"),
        ({"vectors": "AVX512"}, True, "fp32"),
        ({"vectors": "AVX512", "avx512_vnni": True}, True, "int16"),
        ({"vectors": "AVX512", "avx512_vnni": True, "avx512_bf16": True}, True, "int16"),
        ({"vectors": "AVX512", "avx512_vnni": True, "avx512_bf16": True}, False, "bf16"),
        ({"vectors": "AVX512", "avx512_vnni": True, "avx512_bf16": True, "amx": True}, True, "bf16"),
    ],
)
def test_the_fastest_precision_of_a_cpu(more, int16, wanted):
    assert fastest_on_cpu(AVX2_ONLY | more, int16=int16) == wanted


def test_nothing_to_encode(tiny):
    encoder = load_encoder(str(tiny("bert")))
    assert encoder.encode([]).shape == (0, encoder.dimension)
    vectors = encoder.encode(["", "", "   "])
    np.testing.assert_allclose(vectors[0], vectors[2], atol=1e-6)
    assert np.isfinite(vectors).all()


def test_prompt_of_the_model_and_of_the_settings(tiny):
    directory = tiny("bert", prompts={"query": "the cat "}, default_prompt_name="query")
    own = load_encoder(str(directory), precision="fp32").encode(["dog runs"])
    assert cosines(own, reference(directory, ["dog runs"])).min() > 0.99999
    none = load_encoder(str(directory), precision="fp32", settings=EncodingSettings(prompt=""))
    np.testing.assert_array_equal(none.encode(["the cat dog runs"]), own)


def test_max_tokens_never_passes_the_models_own(tiny):
    assert load_encoder(str(tiny("bert")), settings=EncodingSettings(max_tokens=9)).max_tokens == 9
    assert load_encoder(str(tiny("bert")), settings=EncodingSettings(max_tokens=900)).max_tokens == 48


def test_identity(tiny):
    identity = load_encoder(str(tiny("bert")), precision="fp32").identity
    assert identity["name"] == str(tiny("bert"))
    assert identity["precision"] == "fp32"
    assert len(identity["sha256"]) == 64


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"device": "tpu9"}, "device: 'tpu9'"),
        ({"device": "cuda:63"}, "device: 'cuda:63' is not there"),
        ({"precision": "fp8"}, "precision: 'fp8'"),
    ],
)
def test_wrong_options(tiny, options, message):
    with pytest.raises(ValueError, match=message):
        load_encoder(str(tiny("bert")), **options)


def test_without_a_compiler_the_encoder_falls_back(tiny, monkeypatch, tmp_path, caplog):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    caches = (native.kernels, native.amx_kernels)
    for cache in caches:
        cache.cache_clear()
    try:
        encoder = load_encoder(str(tiny("bert")))
        assert encoder.identity["precision"] in ("fp32", "bf16")
        assert isinstance(encoder._states, PackedBert)
        with pytest.raises(ValueError, match="C compiler"):
            load_encoder(str(tiny("bert")), precision="int16")
    finally:
        for cache in caches:
            cache.cache_clear()


@needs_amx
def test_a_system_that_keeps_the_tiles_back_is_told_of(monkeypatch, caplog):
    class Refusing:
        def amx_ready(self):
            return -1

    monkeypatch.setattr(native, "_library", lambda *_: Refusing())
    assert native.amx_kernels.__wrapped__() is None
    assert "does not let this process use AMX" in caplog.text


def test_settings_and_models_import_no_torch():
    code = "import sys, kartoteka.encoding.settings, kartoteka.encoding.tokens, kartoteka.encoding.models; "
    code += "assert not {'torch', 'transformers'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": ":".join(sys.path)})
