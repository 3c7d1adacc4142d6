"""Every epoch sees each example once, and where a run begins changes nothing in what a step learns from."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kartoteka.training.order import Order
from kartoteka.training.settings import TrainingSettings
from kartoteka.training.task import Share


def steps(order: Order, start: int = 0) -> dict[int, list[list[int]]]:
    return {step: [p.tolist() for p in parts] for epoch in order.micro_batches(start) for step, parts in epoch}


@given(
    st.integers(1, 60), st.integers(1, 20), st.integers(1, 4), st.integers(1, 25), st.integers(0, 30), st.integers(0, 3)
)
def test_steps_from_anywhere(examples: int, batch: int, accumulation: int, count: int, start: int, seed: int) -> None:
    settings = TrainingSettings(batch=batch, accumulation=accumulation, steps=count, seed=seed)
    order = Order(examples, settings)
    whole = steps(order)
    assert [*whole] == [*range(count)]
    assert steps(order, start) == {step: parts for step, parts in whole.items() if step >= start}
    in_epoch = settings.steps_of_epoch(examples)
    for epoch in range(0, count // in_epoch):
        seen = [n for step in range(epoch * in_epoch, (epoch + 1) * in_epoch) for part in whole[step] for n in part]
        assert len(set(seen)) == len(seen) == in_epoch * min(batch, examples)
    assert all(len(parts) == accumulation for parts in whole.values())


@given(st.integers(0, 50), st.integers(1, 7))
def test_shares_are_the_whole(count: int, world: int) -> None:
    numbers = np.arange(count)
    parts = [Share(rank, world, 0).of(numbers) for rank in range(world)]
    assert sorted(np.concatenate(parts).tolist()) == numbers.tolist()
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_all_workers_draw_the_same() -> None:
    draws = [Share(rank, 2, 7, step=3).random(5).integers(1 << 30, size=4).tolist() for rank in (0, 1)]
    assert draws[0] == draws[1]
    assert draws[0] != Share(0, 2, 7, step=4).random(5).integers(1 << 30, size=4).tolist()


@pytest.mark.parametrize(("decay", "last"), [("linear", 0.0125), ("cosine", 0.000385), ("constant", 1.0)])
def test_the_rate_climbs_and_decays(decay: str, last: float) -> None:
    settings = TrainingSettings(learning_rate=1.0, warmup=0.2, decay=decay)
    rates = [settings.rate(step, 100) for step in range(100)]
    assert rates[0] == pytest.approx(0.05)
    assert rates[19] == 1.0
    assert rates[99] == pytest.approx(last, rel=2e-2)
    assert rates[20:] == sorted(rates[20:], reverse=True)
