"""The encoder's dense product, with a backward pass that makes no more than it must."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd import Function


def encode_all(
    x: Float[Tensor, "b d"], W: Float[Tensor, "d s"], b: Float[Tensor, " s"], centre: Float[Tensor, " d"] | None
) -> Float[Tensor, "b s"]:
    """(x − centre) W + b.

    The gradient of W is made as that of Wᵀ: a W that is stored by columns takes it as it is. That of the centre
    follows from that of b, without another product.
    """
    return _EncodeAll.apply(x, W, b, centre)  # type: ignore[no-any-return]


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
