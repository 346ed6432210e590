"""The three products of a sparse code with a dense matrix, and the two layers that are made of them.

With F the `[b, s]` codes, non-zero on a support of nnz places, each costs 2 nnz d floating-point operations where the
dense product costs 2 b s d. All are stock operations: an embedding bag is a sparse matrix times a dense one.
"""

from __future__ import annotations

import warnings
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd import Function
from torch.nn.functional import embedding_bag

from saelab.kernels.support import Support

with warnings.catch_warnings():  # PyTorch says once in a process that its CSR tensors are in beta
    warnings.filterwarnings("ignore", message="Sparse CSR")
    torch.sparse_csr_tensor([0, 1], [0], [0.0], (1, 1), check_invariants=False)


def times(values: Float[Tensor, " n"], support: Support, W: Float[Tensor, "s d"]) -> Float[Tensor, "b d"]:
    """F W: each row's sum of the rows of W that it uses, weighted."""
    return embedding_bag(
        support.latent, W, support.offsets, mode="sum", per_sample_weights=values, include_last_offset=True
    )


def transposed_times(values: Float[Tensor, " n"], support: Support, G: Float[Tensor, "b d"]) -> Float[Tensor, "s d"]:
    """Fᵀ G: for each latent, the sum of the rows of G on which it is used, weighted."""
    order, row, begins = support.by_latent
    return embedding_bag(row, G, begins, mode="sum", per_sample_weights=values[order], include_last_offset=True)


def products_at(support: Support, G: Float[Tensor, "b d"], W: Float[Tensor, "s d"]) -> Float[Tensor, " n"]:
    """(G Wᵀ) at the places of the support: one inner product of width d each."""
    if G.dtype in (torch.float32, torch.float64) and G.device.type == "cpu":
        zeros = G.new_zeros(len(support))
        pattern = torch.sparse_csr_tensor(
            support.offsets, support.latent, zeros, (len(G), len(W)), check_invariants=False
        )
        return torch.sparse.sampled_addmm(pattern, G, W.T, beta=0.0).values()
    unused = support.offsets.new_empty(0)
    return torch.ops.aten._embedding_bag_per_sample_weights_backward(
        G, W, support.latent, support.offsets, support.row if len(support) else unused, 0, -1
    )


class _Decode(Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, W: Tensor, support: Support) -> Tensor:  # type: ignore[override]
        ctx.save_for_backward(values, W)
        ctx.support = support
        return times(values, support, W)

    @staticmethod
    def backward(ctx: Any, G: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        values, W = ctx.saved_tensors
        G = G.contiguous()
        to_values = products_at(ctx.support, G, W) if ctx.needs_input_grad[0] else None
        to_W = transposed_times(values, ctx.support, G) if ctx.needs_input_grad[1] else None
        return to_values, to_W, None


def decode(values: Float[Tensor, " n"], W: Float[Tensor, "s d"], support: Support) -> Float[Tensor, "b d"]:
    """F W, differentiable in the codes and in W."""
    return _Decode.apply(values, W, support)  # type: ignore[no-any-return]


class _Encode(Function):
    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any, pre: Tensor, x: Tensor, W: Tensor, b: Tensor, centre: Tensor | None, support: Support
    ) -> Tensor:
        ctx.save_for_backward(x, W)
        ctx.support, ctx.centred = support, centre is not None
        return pre

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        x, W = ctx.saved_tensors
        g = g.contiguous()
        to_b = ctx.support.sum_by_latent(g)
        to_W = transposed_times(g, ctx.support, x).T if ctx.needs_input_grad[2] else None
        to_centre = -(W @ to_b) if ctx.centred and ctx.needs_input_grad[4] else None
        return None, None, to_W, to_b, to_centre, None


def encode(
    pre: Float[Tensor, " n"],
    x: Float[Tensor, "b d"],
    W: Float[Tensor, "d s"],
    b: Float[Tensor, " s"],
    centre: Float[Tensor, " d"] | None,
    support: Support,
) -> Float[Tensor, " n"]:
    """(x W + b) at the places of the support, already computed as `pre`; differentiable in W, b and the centre.

    `x` is what W was multiplied with, that is data minus `centre`; the data themselves get no gradient.
    """
    return _Encode.apply(pre, x, W, b, centre, support)  # type: ignore[no-any-return]
