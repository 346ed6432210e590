"""The dense path's own layers: selections in place, and the encoder's product."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from saelab import kernels
from saelab.kernels import dense, order

SELECTIONS = [torch.relu, lambda x: kernels.kept_top(x, 3), lambda x: kernels.kept_batch_top(x, 40)]


def naive_top(pre: Tensor, k: int) -> list[list[float]]:
    """Sort every row; keep the first k that are positive."""
    rows = []
    for row in pre.tolist():
        kept = sorted(range(len(row)), key=lambda i: -row[i])[:k]
        rows.append([z if i in kept and z > 0 else 0.0 for i, z in enumerate(row)])
    return rows


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize(("s", "k"), [(20, 1), (20, 5), (20, 19), (20, 20), (200, 2)])
def test_keep_top_is_naive_sorting(s: int, k: int, dtype: torch.dtype) -> None:
    pre = torch.randn(30, s, generator=torch.Generator().manual_seed(s + k)).to(dtype)
    if dtype == torch.bfloat16:  # in which numbers coincide
        pre = torch.stack([torch.randperm(s) - s // 2 for _ in range(30)]).to(dtype)
    assert kernels.keep_top(pre, k).tolist() == naive_top(pre, k)


def test_keep_top_by_hand() -> None:
    pre = torch.tensor([[3.0, -1.0, 2.0, 1.0], [-1.0, -2.0, 0.5, -3.0]])
    assert kernels.keep_top(pre, 2).tolist() == [[3, 0, 2, 0], [0, 0, 0.5, 0]]


def test_of_equal_entries_no_more_are_kept_than_fit() -> None:
    assert (kernels.keep_top(torch.ones(4, 10), 3) != 0).sum(1).tolist() == [3] * 4
    assert (kernels.kept_batch_top(torch.ones(4, 10), 13) != 0).sum() == 13
    assert not kernels.kept_batch_top(-torch.ones(4, 10), 13).any()
    assert not kernels.kept_batch_top(torch.ones(4, 10), 0).any()


@pytest.mark.parametrize("count", [0, 1, 7, 150, 300, 599, 600, 900])
def test_kept_batch_top_is_sorting(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    pre = torch.randn(30, 20, generator=torch.Generator().manual_seed(count))
    largest = pre.flatten().sort(descending=True).values[:count]
    expected = torch.where(torch.isin(pre, largest[largest > 0]), pre, 0)
    assert torch.equal(kernels.kept_batch_top(pre, count), expected)
    monkeypatch.setattr(order, "WHOLE", 10)  # so many entries that only those above a level are looked at
    assert torch.equal(kernels.kept_batch_top(pre, count), expected)


@pytest.mark.parametrize(
    "keep", [lambda x: kernels.keep_top(x, 3), lambda x: kernels.keep(x, lambda y: kernels.kept_batch_top(y, 17))]
)
def test_the_gradient_passes_where_a_code_is(keep: Callable[[Tensor], Tensor]) -> None:
    pre, weight = torch.randn(6, 8, requires_grad=True), torch.randn(6, 8)
    f = keep(pre)
    (f * weight).sum().backward()
    torch.testing.assert_close(pre.grad, weight * (f.detach() > 0))


@pytest.mark.parametrize("centred", [True, False])
def test_encode_all_has_the_gradients_of_autograd(centred: bool) -> None:
    torch.manual_seed(0)
    leaves = [torch.randn(shape, dtype=torch.float64) for shape in ((7, 5), (5, 12), (12,), (5,))]
    ours, plain = ([leaf.clone().requires_grad_() for leaf in leaves] for _ in range(2))
    g = torch.randn(7, 12, dtype=torch.float64)
    x, W, b, c = ours
    pre = kernels.encode_all(x, W, b, c if centred else None)
    (pre * g).sum().backward()
    x2, W2, b2, c2 = plain
    expected = (x2 - c2 if centred else x2) @ W2 + b2
    (expected * g).sum().backward()
    torch.testing.assert_close(pre, expected)
    for mine, other in zip(ours, plain, strict=True):
        torch.testing.assert_close(mine.grad, other.grad)


def test_the_gradient_lies_as_weights_stored_by_columns_do() -> None:
    W = torch.randn(12, 5).T.requires_grad_()
    kernels.encode_all(torch.randn(7, 5), W, torch.zeros(12), None).sum().backward()
    assert W.grad is not None and W.grad.stride() == W.stride() == (1, 5)


@pytest.mark.parametrize("centred", [True, False])
@pytest.mark.parametrize("used", ["codes", "sums", "both"])
@pytest.mark.parametrize("select", SELECTIONS)
def test_encoding_and_keeping_at_once_is_one_after_the_other(
    select: Callable[[Tensor], Tensor], used: str, centred: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dense, "CHUNK", 7)
    g = torch.Generator().manual_seed(0)
    sizes = [(16, 5), (5, 8), (8,), (5,)]
    first, second = ([torch.randn(size, generator=g, dtype=torch.float64) for size in sizes] for _ in range(2))
    for a, b in zip(first, second, strict=True):
        b.copy_(a)
        a.requires_grad_()
        b.requires_grad_()
    by_code, by_latent = torch.randn(16, 8, generator=g).double(), torch.randn(8, generator=g).double()
    f, sums = kernels.encode_kept(*first[:3], first[3] if centred else None, select, summed=True)
    x, W, b, centre = second
    pre = (x - centre if centred else x) @ W + b
    expected = pre * (select(pre.detach()) != 0)
    torch.testing.assert_close(f, expected)
    torch.testing.assert_close(sums, expected.sum(0))
    for codes, totals in ((f, sums), (expected, expected.sum(0))):
        loss = (codes * by_code).sum() if used != "sums" else 0
        (loss + (totals * by_latent).sum() if used != "codes" else loss).backward()
    for a, b in zip(first[: 4 if centred else 3], second, strict=False):
        torch.testing.assert_close(a.grad, b.grad)


def test_sums_are_made_only_where_they_are_asked_for() -> None:
    x, W, b = torch.randn(4, 3), torch.randn(3, 6, requires_grad=True), torch.zeros(6)
    f, sums = kernels.encode_kept(x, W, b, None, torch.relu)
    assert sums is None
    f.sum().backward()
    assert W.grad is not None
