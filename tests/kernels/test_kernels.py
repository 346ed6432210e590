"""The sparse products and selections against the dense ones."""

from __future__ import annotations

import pytest
import torch

from saelab import kernels
from saelab.kernels import Support


def support(b: int = 7, s: int = 12, density: float = 0.3, seed: int = 0) -> tuple[Support, torch.Tensor]:
    """A random support with empty rows and unused latents, and a matrix that is non-zero on it."""
    generator = torch.Generator().manual_seed(seed)
    mask = torch.rand(b, s, generator=generator) < density
    mask[2], mask[:, 4] = False, False
    place = mask.view(-1).nonzero().squeeze(1)
    return Support.of_places(place, b, s), torch.randn(b, s, generator=generator) * mask


def test_support_by_hand() -> None:
    s = Support.of_places(torch.tensor([1, 2, 9]), 3, 4)  # (0, 1), (0, 2), (2, 1)
    assert s.latent.tolist() == [1, 2, 1]
    assert s.offsets.tolist() == [0, 2, 2, 3]
    assert s.row.tolist() == [0, 0, 2]
    dense = s.scatter(torch.tensor([5.0, 6.0, 7.0]))
    assert dense.tolist() == [[0, 5, 6, 0], [0, 0, 0, 0], [0, 7, 0, 0]]
    assert s.gather(dense).tolist() == [5, 6, 7]
    assert s.sum_by_latent(torch.tensor([5.0, 6.0, 7.0])).tolist() == [0, 12, 6, 0]
    order, row, begins = s.by_latent
    assert s.latent[order].tolist() == [1, 1, 2]
    assert sorted(row[:2].tolist()) == [0, 2]
    assert begins.tolist() == [0, 0, 2, 3, 3]


@pytest.mark.parametrize("density", [0.0, 0.3, 1.0])
def test_products_are_the_dense_ones(density: float) -> None:
    where, F = support(density=density)
    W, G = torch.randn(12, 5), torch.randn(7, 5)
    values = where.gather(F)
    torch.testing.assert_close(kernels.times(values, where, W), F @ W)
    torch.testing.assert_close(kernels.transposed_times(values, where, G), F.T @ G)
    torch.testing.assert_close(kernels.products_at(where, G, W), where.gather(G @ W.T))


def test_decode_has_the_gradients_of_a_dense_product() -> None:
    where, F = support()
    W, G = torch.randn(12, 5, requires_grad=True), torch.randn(7, 5)
    values = where.gather(F).requires_grad_()
    (kernels.decode(values, W, where) * G).sum().backward()
    dense, W2 = F.clone().requires_grad_(), W.detach().clone().requires_grad_()
    (dense @ W2 * G).sum().backward()
    torch.testing.assert_close(values.grad, where.gather(dense.grad))
    torch.testing.assert_close(W.grad, W2.grad)


def test_encode_has_the_gradients_of_a_dense_layer() -> None:
    torch.manual_seed(0)
    where, _ = support()
    data, g = torch.randn(7, 5), torch.randn(len(where))
    leaves = [torch.randn(5, 12), torch.randn(12), torch.randn(5)]
    W, b, centre = (leaf.clone().requires_grad_() for leaf in leaves)
    x = (data - centre).detach()
    pre = where.gather(x @ W + b).detach()
    (kernels.encode(pre, x, W, b, centre, where) * g).sum().backward()
    W2, b2, centre2 = (leaf.clone().requires_grad_() for leaf in leaves)
    dense = (data - centre2) @ W2 + b2
    torch.testing.assert_close(where.gather(dense), pre)
    (where.gather(dense) * g).sum().backward()
    for sparse, full in ((W, W2), (b, b2), (centre, centre2)):
        torch.testing.assert_close(sparse.grad, full.grad)


@pytest.mark.parametrize(("s", "k"), [(20, 5), (20, 20), (20, 1)])
def test_top_is_topk(s: int, k: int) -> None:
    pre = torch.randn(30, s, generator=torch.Generator().manual_seed(s + k))
    where, values = kernels.top(pre, k)
    assert where.offsets.tolist() == list(range(0, 30 * k + 1, k))
    torch.testing.assert_close(where.gather(pre), values)
    torch.testing.assert_close(values.view(30, k).sort(1).values, pre.topk(k, 1).values.sort(1).values)
    assert all(len(set(row.tolist())) == k for row in where.latent.view(30, k))


def test_top_with_ties_keeps_k_places() -> None:
    where, values = kernels.top(torch.ones(3, 50), 8)
    assert values.tolist() == [1.0] * 24
    assert all(len(set(row.tolist())) == 8 for row in where.latent.view(3, 8))


@pytest.mark.parametrize("count", [1, 17, 400, 5000, 10**6])
def test_batch_top_is_the_largest_of_all(count: int) -> None:
    pre = torch.randn(100, 300, generator=torch.Generator().manual_seed(count))
    where, values = kernels.batch_top(pre, count)
    expected = pre.reshape(-1).sort(descending=True).values
    expected = expected[expected > 0][:count]
    assert torch.equal(values.sort(descending=True).values, expected)
    torch.testing.assert_close(where.gather(pre), values)


def test_batch_top_with_ties_keeps_as_many_as_asked() -> None:
    where, values = kernels.batch_top(torch.ones(10, 10), 7)
    assert len(where) == 7 and (values == 1).all()
    where, _ = kernels.batch_top(-torch.ones(10, 10), 7)
    assert len(where) == 0 and where.rows == 10


def test_batch_top_where_the_sample_misleads() -> None:
    """The large entries sit where the sample does not look: the choice is exact all the same."""
    pre = torch.full((500, 1000), -1.0)
    pre[250, 100:160] = torch.arange(1.0, 61.0)
    where, values = kernels.batch_top(pre, 50)
    assert sorted(values.tolist()) == list(range(11, 61))
    assert where.row.unique().tolist() == [250]


def test_above_takes_one_threshold_or_many() -> None:
    pre = torch.tensor([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]])
    where, values = kernels.above(pre, 1.5)
    assert values.tolist() == [2, 3, 3, 2]
    where, values = kernels.above(pre, torch.tensor([2.0, 1.0, 5.0]))
    assert where.scatter(values).tolist() == [[0, 2, 0], [3, 2, 0]]


def test_split_by_hand_and_in_sum() -> None:
    where, F = support()
    W, values = torch.randn(12, 5), where.gather(F)
    parts = where.split([3, 1, 8])
    assert [part.width for _, part in parts] == [3, 1, 8]
    whole = sum(
        kernels.times(values[places], part, rows)
        for (places, part), rows in zip(parts, W.split([3, 1, 8]), strict=True)
    )
    torch.testing.assert_close(whole, F @ W)
    places, part = parts[1]
    assert part.latent.tolist() == [0] * len(places)
    assert torch.equal(part.row, where.row[places])
