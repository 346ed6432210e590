"""The encoder's dense product, alone and with the selection of codes, and backward passes that make no more than they
must."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd import Function

from saelab.kernels.keep import Select

CHUNK = 512  # rows whose pre-activations' gradient is in memory at a time


def encode_all(
    x: Float[Tensor, "b d"], W: Float[Tensor, "d s"], b: Float[Tensor, " s"], centre: Float[Tensor, " d"] | None
) -> Float[Tensor, "b s"]:
    """(x − centre) W + b.

    The gradient of W is made as that of Wᵀ: a W that is stored by columns takes it as it is. That of the centre
    follows from that of b, without another product.
    """
    return _EncodeAll.apply(x, W, b, centre)  # type: ignore[no-any-return]


def encode_kept(
    x: Float[Tensor, "b d"],
    W: Float[Tensor, "d s"],
    b: Float[Tensor, " s"],
    centre: Float[Tensor, " d"] | None,
    select: Select,
    *,
    summed: bool = False,
) -> tuple[Float[Tensor, "b s"], Float[Tensor, " s"] | None]:
    """keep((x − centre) W + b, select), and with `summed` each latent's sum over the rows.

    No pre-activation is kept, and their gradient is made for some rows at a time. That of the sums, which is the same
    in all rows, is added there: a sum of its own would make a matrix of it.
    """
    return _EncodeKept.apply(x, W, b, centre, select, summed)  # type: ignore[no-any-return]


class _EncodeAll(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, W: Tensor, b: Tensor, centre: Tensor | None) -> Tensor:  # type: ignore[override]
        ctx.save_for_backward(x, W, centre)
        return torch.addmm(b, x if centre is None else x - centre, W)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        x, W, centre = ctx.saved_tensors
        needs_x, needs_W, _, needs_centre = ctx.needs_input_grad
        rows = x if centre is None else x - centre
        to_x = g @ W.to(g.dtype).T if needs_x else None
        to_W = (g.T @ rows.to(g.dtype)).T.to(W.dtype) if needs_W else None
        to_b = g.sum(0)
        to_centre = -(W @ to_b.to(W.dtype)) if needs_centre else None
        return to_x, to_W, to_b.to(W.dtype), to_centre


class _EncodeKept(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, W: Tensor, b: Tensor, centre: Tensor | None, select: Select, summed: bool) -> Any:  # type: ignore[override]
        f = select(torch.addmm(b, x if centre is None else x - centre, W))
        ctx.save_for_backward(x, W, centre, f)
        ctx.set_materialize_grads(False)
        return f, f.sum(0) if summed else None

    @staticmethod
    def backward(ctx: Any, g: Tensor | None, g_sum: Tensor | None) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        x, W, centre, f = ctx.saved_tensors
        needs_x, needs_W, _, needs_centre = ctx.needs_input_grad[:4]
        to_x = torch.empty_like(x) if needs_x else None
        to_W, to_b = torch.zeros_like(W.T), torch.zeros_like(W[0])
        for rows in (slice(low, low + CHUNK) for low in range(0, len(x), CHUNK)):
            part = _where_codes_are(None if g is None else g[rows], g_sum, f[rows])
            to_b += part.sum(0)
            if needs_W:
                inputs = x[rows] if centre is None else x[rows] - centre
                to_W += (part.T @ inputs.to(part.dtype)).to(W.dtype)
            if to_x is not None:
                to_x[rows] = part @ W.to(part.dtype).T
        to_centre = -(W @ to_b) if needs_centre else None
        return to_x, to_W.T if needs_W else None, to_b, to_centre, None, None


def _where_codes_are(g: Tensor | None, g_sum: Tensor | None, f: Tensor) -> Tensor:
    """The gradient of pre-activations from that of codes, and from that of their sums, which is one row."""
    if g is not None and g_sum is None:
        return torch.ops.aten.threshold_backward(g, f, 0)
    assert g_sum is not None
    part = g_sum.expand_as(f).clone() if g is None else g + g_sum
    return torch.ops.aten.threshold_backward.grad_input(part, f, 0, grad_input=part)
