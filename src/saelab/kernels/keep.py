"""Dense codes that keep the largest entries: what `select` finds, in place, with zeros elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd import Function
from torch.nn.functional import threshold

from saelab.kernels.order import kth_largest_of_batch, kth_largest_of_rows, on_cpu

Select = Callable[[Tensor], Tensor]
HEAP = 64  # times k: from there on PyTorch's topk runs over a row with a heap, and has few entries to write


def keep(pre: Float[Tensor, "b s"], select: Select) -> Float[Tensor, "b s"]:
    """What `select` makes of pre-activations: some of the positive ones, and zeros; they alone have a gradient."""
    return _Keep.apply(pre, select)  # type: ignore[no-any-return]


def keep_top(pre: Float[Tensor, "b s"], k: int) -> Float[Tensor, "b s"]:
    """Each row's k largest entries, and of those the positive ones; of equal entries no more than fit."""
    return keep(pre, lambda x: kept_top(x, k))


class _Keep(Function):
    """Positive codes that are the pre-activations themselves: the gradient passes where a code is."""

    @staticmethod
    def forward(ctx: Any, pre: Tensor, select: Select) -> Tensor:  # type: ignore[override]
        f = select(pre)
        ctx.save_for_backward(f)
        return f

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        (f,) = ctx.saved_tensors
        return torch.ops.aten.threshold_backward(grad, f, 0), None


def kept_top(pre: Float[Tensor, "b s"], k: int) -> Float[Tensor, "b s"]:
    """What `keep_top` keeps, without a gradient."""
    if on_cpu(pre) and k < pre.shape[1] < HEAP * k:
        below = kth_largest_of_rows(pre, k).nextafter(torch.tensor(-torch.inf, dtype=pre.dtype))
        kept = (pre - below).relu_().sign_()  # arithmetic, since a comparison takes several times as long
        if bool((kept.sum(1) == k).all()):
            return kept.mul_(pre).relu_()
    values, which = pre.topk(k, dim=-1, sorted=False)
    return torch.zeros_like(pre).scatter(-1, which, values.relu())


def kept_batch_top(pre: Float[Tensor, "b s"], count: int) -> Float[Tensor, "b s"]:
    """The `count` largest entries of the matrix, and of those the positive ones; of equal entries no more than fit."""
    flat = pre.reshape(-1)
    if count >= len(flat):
        return pre.relu()
    if on_cpu(pre) and count:
        below = kth_largest_of_batch(flat, count).nextafter(torch.tensor(-torch.inf, dtype=pre.dtype))
        kept = threshold(pre, max(0.0, below.item()), 0.0)
        if kept.sign().sum(1).sum(dtype=torch.float64) <= count:
            return kept
    values, which = flat.topk(count, sorted=False)
    return torch.zeros_like(flat).scatter(0, which, values.relu()).view_as(pre)
