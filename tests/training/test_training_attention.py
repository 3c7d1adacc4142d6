"""Attention with a backward pass of plain products: the values and gradients are those of the formula."""

from __future__ import annotations

import pytest
import torch
from transformers import (
    BartConfig,
    BartForConditionalGeneration,
    BertConfig,
    BertModel,
    MPNetConfig,
    MPNetModel,
)

from kartoteka.training.attention import NAME, ProductsAttention, attention, use_products

HEADS, WORDS, WIDTH = 3, 7, 8


def written_out(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    scores = torch.einsum("bhid,bhjd->bhij", q, k) * 0.3
    if mask is not None:
        scores = torch.where(mask, scores, -torch.inf) if mask.dtype == torch.bool else scores + mask
    weights = scores.exp() / scores.exp().sum(-1, keepdim=True)
    return torch.einsum("bhij,bhjd->bhid", weights, v)


def random_mask(kind: str) -> torch.Tensor | None:
    kept = torch.rand(2, 1, WORDS, WORDS) > 0.3
    kept[..., 0] = True
    return {"none": None, "bool": kept, "float": torch.where(kept, 0.0, -9.0).double()}[kind]


@pytest.mark.parametrize("kind", ["none", "bool", "float"])
def test_values_and_gradients_are_those_of_the_formula(kind):
    torch.manual_seed(0)
    parts = [torch.randn(2, HEADS, WORDS, WIDTH, dtype=torch.float64, requires_grad=True) for _ in range(3)]
    mask, weight = random_mask(kind), torch.randn(2, HEADS, WORDS, WIDTH, dtype=torch.float64)
    wanted, found = written_out(*parts, mask), ProductsAttention.apply(*parts, mask, 0.3)
    assert torch.allclose(found, wanted, atol=1e-10)
    right, ours = (torch.autograd.grad((some * weight).sum(), parts) for some in (wanted, found))
    for a, b in zip(ours, right, strict=True):
        assert b.abs().max() > 1e-3
        assert torch.allclose(a, b, atol=1e-10)


def test_in_bf16_the_gradients_are_as_near_as_those_of_plain_products():
    torch.manual_seed(0)
    exact = [torch.randn(4, HEADS, 50, 32, dtype=torch.float64, requires_grad=True) for _ in range(3)]
    weight = torch.randn(4, HEADS, 50, 32, dtype=torch.float64)
    right = torch.autograd.grad((written_out(*exact, None) * weight).sum(), exact)
    rough = q, k, v = [part.detach().bfloat16().requires_grad_() for part in exact]
    plain = torch.softmax(q @ k.transpose(-1, -2) * 0.3, -1) @ v
    errors = []
    for found in (ProductsAttention.apply(*rough, None, 0.3), plain):
        got = torch.autograd.grad((found * weight).sum(), rough)
        errors.append([float((a - b).norm() / b.norm()) for a, b in zip(got, right, strict=True)])
    ours, theirs = errors
    assert all(a < 1.1 * b for a, b in zip(ours, theirs, strict=True))
    assert max(ours) < 0.01


def bert() -> tuple[torch.nn.Module, dict[str, torch.Tensor]]:
    small = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 32}
    config = BertConfig(vocab_size=40, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, **small)
    mask = torch.ones(3, 9, dtype=torch.int64)
    mask[1, 5:] = 0
    return BertModel(config, add_pooling_layer=False), {"input_ids": torch.randint(40, (3, 9)), "attention_mask": mask}


def bart() -> tuple[torch.nn.Module, dict[str, torch.Tensor]]:
    config = BartConfig(
        vocab_size=40, d_model=16, dropout=0.0, max_position_embeddings=16, encoder_ffn_dim=16, decoder_ffn_dim=16,
        encoder_layers=1, decoder_layers=1, encoder_attention_heads=2, decoder_attention_heads=2,
    )  # fmt: skip
    found = bert()[1]
    return BartForConditionalGeneration(config), {**found, "decoder_input_ids": torch.randint(40, (3, 6))}


def mpnet() -> tuple[torch.nn.Module, dict[str, torch.Tensor]]:
    small = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 32}
    config = MPNetConfig(
        vocab_size=40, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, initializer_range=0.3, **small
    )
    model = MPNetModel(config, add_pooling_layer=False)
    torch.nn.init.normal_(model.encoder.relative_attention_bias.weight)
    return model, bert()[1]


def count_products(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One entry for each call of ours; they are made all the same."""
    calls, apply = [], ProductsAttention.apply

    def counted(*given: object) -> torch.Tensor:
        calls.append(1)
        return apply(*given)

    monkeypatch.setattr(ProductsAttention, "apply", counted)
    return calls


@pytest.mark.parametrize(("make", "own"), [(bert, 2), (bart, 2)])
def test_a_transformer_learns_the_same_with_it(make, own, tmp_path, monkeypatch):
    torch.manual_seed(0)
    model, given = make()
    model.train().bfloat16()
    calls = count_products(monkeypatch)

    def learn() -> tuple[torch.Tensor, list[torch.Tensor]]:
        states = model(**given)[0]
        if "decoder_input_ids" not in given:
            states = states[given["attention_mask"].bool()]
        loss = states.square().mean() + states[..., 0].mean()
        return states.detach(), torch.autograd.grad(loss, list(model.parameters()), allow_unused=True)

    before, wanted = learn()
    assert not calls
    use_products(torch.nn.ModuleList([model]))
    assert model.config._attn_implementation == NAME
    after, found = learn()
    assert len(calls) == own
    assert torch.equal(after, before)
    for a, b in zip(found, wanted, strict=True):
        assert (a is None) == (b is None)
        assert a is None or (a - b).norm() <= 0.03 * b.norm() + 1e-6
    model.save_pretrained(tmp_path)
    assert NAME not in (tmp_path / "config.json").read_text()


def test_mpnet_learns_what_it_would_in_fp32_and_its_distances_too(monkeypatch):
    torch.manual_seed(0)
    model, given = mpnet()
    weight = torch.randn(3, 9, 24)[given["attention_mask"].bool()]

    def learn() -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        model.zero_grad()
        states = model(**given)[0][given["attention_mask"].bool()].float()
        (states * weight).sum().backward()
        return states.detach(), {name: p.grad.float().clone() for name, p in model.named_parameters()}

    exact, right = learn()
    model.bfloat16().train()
    _, theirs = learn()
    use_products(model)
    calls = count_products(monkeypatch)
    states, found = learn()
    assert len(calls) == 2
    assert torch.allclose(states, exact, atol=0.05)
    assert right["encoder.relative_attention_bias.weight"].abs().max() > 0.1
    for name, wanted in right.items():
        if name.endswith("attn.k.bias"):  # what moves all scores of a query alike has no gradient but rounding's
            continue
        error = (found[name] - wanted).norm()
        assert error < 0.1 * wanted.norm() or error < 1.2 * (theirs[name] - wanted).norm(), name
    monkeypatch.undo()
    with torch.no_grad():
        model.encoder.layer[0].attention.attn.dropout.p = 0.5
        assert not torch.equal(model(**given)[0], model(**given)[0])


@pytest.mark.parametrize("together", [1, 1 << 20])
def test_a_bias_of_all_texts_is_learned_by_the_formula(together, monkeypatch):
    torch.manual_seed(0)
    monkeypatch.setattr("kartoteka.training.attention._CACHED", together)
    parts = [torch.randn(2, HEADS, WORDS, WIDTH, dtype=torch.float64, requires_grad=True) for _ in range(3)]
    bias = torch.randn(1, HEADS, WORDS, WORDS, dtype=torch.float64, requires_grad=True)
    mask = random_mask("float")
    weight = torch.randn(2, HEADS, WORDS, WIDTH, dtype=torch.float64)
    for some in (None, mask):
        wanted = written_out(*parts, bias if some is None else bias + some)
        found = ProductsAttention.apply(*parts, some, 0.3, bias)
        assert torch.allclose(found, wanted, atol=1e-10)
        right, ours = (torch.autograd.grad((each * weight).sum(), [*parts, bias]) for each in (wanted, found))
        for a, b in zip(ours, right, strict=True):
            assert b.abs().max() > 1e-3
            assert torch.allclose(a, b, atol=1e-10)


def test_dropout_and_fp32_are_left_to_the_fused_kernel(monkeypatch):
    torch.manual_seed(0)
    model, given = bert()
    for layer in model.encoder.layer:
        layer.attention.self.dropout.p = 0.5
    use_products(model)
    calls = count_products(monkeypatch)
    model.eval()(**given)
    model.train().bfloat16()(**given)
    assert not calls
    model.eval()(**given)
    assert len(calls) == 2


@pytest.mark.parametrize(
    ("words", "asked"),
    [(4, {"position_bias": 5 * torch.eye(4).bfloat16()[None, None]}), (1025, {}), (4, {"is_causal": True})],
)
def test_what_it_does_not_know_is_left_to_the_fused_kernel(monkeypatch, words, asked):
    torch.manual_seed(0)
    parts = [torch.randn(1, 1, words, 8).bfloat16() for _ in range(3)]
    module = torch.nn.Module()
    module.is_causal = False
    calls = count_products(monkeypatch)
    plain = attention(module, *[part[:, :, :4] for part in parts], None)[0]
    assert len(calls) == 1
    found = attention(module, *parts, None, **asked)[0]
    assert len(calls) == 1
    assert not torch.allclose(found[:, :4], plain)
