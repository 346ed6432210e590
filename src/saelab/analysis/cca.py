"""Canonical correlations: how much of one code's space is in another's, whatever their bases and scales."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

SINGULAR = 1e-6  # directions whose spread is below this share of the largest are rounding


class Canonical(NamedTuple):
    """Directions a_i in one code and b_i in the other whose projections are correlated most; `[p, m]` and `[q, m]`."""

    a: Float[Tensor, "p m"]
    b: Float[Tensor, "q m"]
    correlation: Float[Tensor, " m"]


def canonical(x: Float[Tensor, "n p"], y: Float[Tensor, "n q"]) -> Canonical:
    """Singular vectors of U_xᵀ U_y, of centred x = U_x S_x V_xᵀ and y alike (Hotelling 1936); m = the lesser rank."""
    (u_x, back_x), (u_y, back_y) = whitened(x), whitened(y)
    left, correlation, right = torch.linalg.svd(u_x.T @ u_y, full_matrices=False)
    return Canonical(back_x @ left, back_y @ right.T, correlation.clamp(max=1))


def whitened(x: Float[Tensor, "n p"]) -> tuple[Float[Tensor, "n r"], Float[Tensor, "p r"]]:
    """Orthonormal columns that span the centred ones, and the matrix that makes them; float64."""
    x = x.double() - x.double().mean(0)
    u, s, v = torch.linalg.svd(x, full_matrices=False)
    rank = int((s > SINGULAR * s[:1]).sum()) if len(s) else 0
    return u[:, :rank], v[:rank].T / s[:rank]


def held_out_cca(
    code: Float[Tensor, "n p"], target: Float[Tensor, "n k"], *, fit: Bool[Tensor, " n"]
) -> Float[Tensor, " k"]:
    """Correlations, on the rows outside `fit`, of the canonical pairs of those inside; largest first on `fit`.

    One for each dimension of the target, 0 for those that the code has no room for: their mean says how much of the
    target's space the code holds.
    """
    found = canonical(code[fit], target[fit])
    pair = code[~fit].double() @ found.a, target[~fit].double() @ found.b
    a, b = (side - side.mean(0) for side in pair)
    correlation = (a * b).sum(0) / (a.norm(dim=0) * b.norm(dim=0)).clamp_min(1e-12)
    return torch.cat([correlation, correlation.new_zeros(target.shape[1] - len(correlation))])
