"""The loss: equal to torch's own over the global batch, whatever the workers; and the models it starts from."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from generation.generation_worlds import SMALL
from torch.nn import functional

from kartoteka.generation import data
from kartoteka.generation.module import GeneratorModule, new_model, padded
from kartoteka.generation.task import GeneratorTask
from kartoteka.training.task import Share


def batch_of(task: GeneratorTask, run, numbers, rank=0, world=1):
    made = task.collate(run, np.array(numbers, np.int64), Share(rank, world, 0))
    return {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in made.items()}


def gradient(module: torch.nn.Module) -> torch.Tensor:
    return torch.cat([p.grad.flatten() for p in module.parameters() if p.grad is not None])


def test_padding():
    rows, real = padded(torch.tensor([7, 8, 9, 5], dtype=torch.int32), torch.tensor([0, 3, 3, 4]), 1)
    assert rows.tolist() == [[7, 8, 9], [1, 1, 1], [5, 1, 1]]
    assert real.sum(1).tolist() == [3, 0, 1]


def test_the_loss_is_torchs_mean_over_the_tokens_of_the_batch(small_run):
    task, run = small_run
    module = task.build(run).eval()
    batch = batch_of(task, run, range(6))
    loss, figures = module(batch)
    source, mask = padded(batch["source_ids"], batch["source_offsets"], 1)
    labels, real = padded(batch["target_ids"], batch["target_offsets"], 1)
    labels[~real] = -100
    logits = module.model(input_ids=source, attention_mask=mask.long(), labels=labels).logits
    flat = logits.reshape(-1, logits.shape[-1]), labels.reshape(-1)
    assert loss.item() == pytest.approx(functional.cross_entropy(*flat, label_smoothing=0.1).item(), rel=1e-5)
    assert figures["nll"].item() == pytest.approx(functional.cross_entropy(*flat).item(), rel=1e-5)


@pytest.mark.parametrize("world", [2, 3, 5])
def test_the_mean_over_workers_is_the_loss_and_gradient_of_one(small_run, world):
    task, run = small_run
    numbers = [3, 0, 11, 8]  # with five workers one has no row of its own
    module = task.build(run).eval()
    alone, _ = module(batch_of(task, run, numbers))
    alone.backward()
    expected = gradient(module)
    module.zero_grad()
    losses = [module(batch_of(task, run, numbers, rank, world))[0] / world for rank in range(world)]
    sum(losses).backward()
    assert sum(losses).item() == pytest.approx(alone.item(), rel=1e-5)
    assert torch.allclose(gradient(module), expected, atol=1e-5)


def test_the_model_is_the_same_in_every_process_and_leaves_the_generator_alone(small_run):
    task, run = small_run
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    one, two = task.build(run).state_dict(), task.build(run).state_dict()
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_a_base_gets_a_row_for_the_separator(small_run, tmp_path):
    task, run = small_run
    tokenizer = data.open_run_tokenizer(run)
    start = new_model(SMALL, tokenizer)
    start.resize_token_embeddings(len(tokenizer) - 1)
    start.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    chosen = SMALL.model_copy(update={"base": str(tmp_path)})
    model = new_model(chosen, tokenizer)
    assert model.lm_head.weight.shape[0] == len(tokenizer) == model.final_logits_bias.shape[1]
    assert torch.equal(model.model.shared.weight[:-1], start.model.shared.weight)
    assert model.generation_config.max_new_tokens == SMALL.max_target
    loss, _ = GeneratorModule(model, 0.1)(batch_of(task, run, range(3)))
    assert torch.isfinite(loss)


def test_bases_that_will_not_do(small_run, tiny_encoder, tmp_path):
    _, run = small_run
    tokenizer = data.open_run_tokenizer(run)
    new_model(SMALL, tokenizer).save_pretrained(tmp_path / "bart")
    (tmp_path / "empty").mkdir()
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / "config.json").write_text('{"model_type": "bart"}')
    poor = new_model(SMALL.model_copy(update={"layers": 2}), tokenizer)
    poor.save_pretrained(tmp_path / "poor", state_dict={k: v for k, v in poor.state_dict().items() if "fc2" not in k})
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn" / "config.json").write_bytes((tmp_path / "bart" / "config.json").read_bytes())
    (tmp_path / "torn" / "model.safetensors").write_bytes(b"torn")
    for base, change, message in (
        (tiny_encoder, {}, "of type bert, not bart"),
        (tmp_path / "empty", {}, "no readable config.json"),
        (tmp_path / "bare", {}, "no weights in safetensors"),
        (tmp_path / "poor", {}, r"lack model\.decoder\.layers\.0\.fc2\.bias \(and 7 more\)"),
        (tmp_path / "torn", {}, "torn cannot be loaded"),
        (tmp_path / "bart", {"max_source": 1000}, "reads and writes 48 tokens at most"),
        (tmp_path / "bart", {"revision": "main"}, "is a directory"),
    ):
        with pytest.raises(ValueError, match=message):
            new_model(SMALL.model_copy(update={"base": str(base), **change}), tokenizer)


def test_settings_that_contradict():
    for values, message in (
        ({"width": 30, "heads": 4}, "not a multiple of 4 heads"),
        ({"decoding": {"beam": 2, "sequences": 3}}, "cannot come from a beam of 2"),
        ({"layer": 3}, "unknown key `layer`"),
    ):
        with pytest.raises(ValueError, match=message):
            type(SMALL).parse(values)
