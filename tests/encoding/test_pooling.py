from __future__ import annotations

import pytest
import torch

from kartoteka.encoding.pooling import normalise, pool, reduce_at_once, reduce_one_by_one

LENGTHS = [3, 1, 7, 2]


@pytest.mark.parametrize("how", ["mean", "sum", "max"])
@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_both_ways_of_reducing_agree(how, kind):
    states = torch.randn(sum(LENGTHS), 5).to(kind)
    one_by_one = reduce_one_by_one(states, LENGTHS, how)
    assert one_by_one.dtype == torch.float32
    torch.testing.assert_close(reduce_at_once(states, LENGTHS, how), one_by_one)


def test_definitions():
    states = torch.tensor([[1.0, 5.0], [3.0, -1.0], [4.0, 4.0], [0.0, 2.0], [9.0, 9.0]])
    vectors = pool(states, [2, 2, 1], ["mean", "cls", "max", "mean_sqrt_len_tokens"])
    root = 2**0.5
    first = [2, 2, 1, 5, 3, 5, 4 / root, 4 / root]
    second = [2, 3, 4, 4, 4, 4, 4 / root, 6 / root]
    torch.testing.assert_close(vectors, torch.tensor([first, second, [9.0] * 8]))


def test_normalise_leaves_zeros():
    torch.testing.assert_close(normalise(torch.tensor([[3.0, 4.0], [0, 0]])), torch.tensor([[0.6, 0.8], [0, 0]]))
