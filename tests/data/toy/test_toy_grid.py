"""Sums on the grid are exact: they do not depend on the order, the batch, or the way they are computed."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from saelab.data.toy.grid import STEP, product, sparse_product, to_grid, unit


def random(*shape, seed=0):
    return to_grid(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)))


def test_to_grid_by_hand():
    x = torch.tensor([0.0, STEP * 0.4, STEP * 0.6, -STEP * 2.6, 1.0])
    assert to_grid(x).tolist() == [0.0, 0.0, STEP, -3 * STEP, 1.0]


@given(st.integers(0, 100))
def test_no_order_of_a_sum_changes_a_bit(seed):
    a, b = random(7, 300, seed=seed), random(300, 11, seed=seed + 1)
    order = torch.randperm(300, generator=torch.Generator().manual_seed(seed))
    whole = product(a, b)
    assert whole.dtype == torch.float64
    assert torch.equal(whole, product(a[:, order], b[order]))
    assert torch.equal(whole[3:4], product(a[3:4], b))
    assert torch.equal(whole, sum(a[:, i, None].double() * b[i].double() for i in order.tolist()))


def test_sparse_product_is_product():
    a = random(50, 40) * (torch.rand(50, 40) < 0.1)
    a[[0, 13, 49]] = 0  # rows without a term
    b = random(40, 6, seed=1)
    assert torch.equal(sparse_product(a, b), product(a, b))
    assert sparse_product(a[:0], b).shape == (0, 6)
    assert torch.equal(sparse_product(a[:, :0], b[:0]), torch.zeros(50, 6, dtype=torch.float64))


def test_unit_rows():
    x = random(30, 9)
    u = unit(x)
    assert torch.equal(u, to_grid(u))
    torch.testing.assert_close(u.norm(dim=1), torch.ones(30), atol=1e-5, rtol=0)
    torch.testing.assert_close(u, x / x.norm(dim=1, keepdim=True), atol=1e-6, rtol=0)
    assert torch.equal(unit(x[4:5]), u[4:5])
