"""What the best dictionary could explain: the true features, with the true codes."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor


class Spread(NamedTuple):
    """Sums from which the variance of rows follows; the sums of two parts add to the sums of the whole."""

    rows: Float[Tensor, ""]
    y: Float[Tensor, " d"]
    y2: Float[Tensor, ""]


def spread(y: Float[Tensor, "b d"]) -> Spread:
    """Sums of a batch in float64."""
    y = y.double()
    return Spread(torch.tensor(len(y)).double(), y.sum(0), y.square().sum())


def add(a: Spread, b: Spread) -> Spread:
    return Spread(*(x + y for x, y in zip(a, b, strict=True)))


def variance(s: Spread) -> Tensor:
    """E‖y - ȳ‖²."""
    return s.y2 / s.rows - (s.y / s.rows).square().sum()


def strongest(energy: Float[Tensor, " t"], s: int) -> Int[Tensor, " k"]:
    """The min(s, t) features with the largest E[a²], in their order: what s latents would best be spent on."""
    return energy.topk(min(s, len(energy))).indices.sort().values


def ideal(codes: Float[Tensor, "b t"], features: Float[Tensor, "t d"], kept: Int[Tensor, " k"]) -> Float[Tensor, "b d"]:
    """Σ_{t kept} a_t v_t: the reconstruction by the generating dictionary with an ideal encoder, but for a bias."""
    return codes[:, kept] @ features[kept]


def oracle_ev(x: Spread, residual: Spread) -> Tensor:
    """1 - Var(x - x̂) / Var(x) of the `ideal` reconstruction with the best bias: no s true features explain more."""
    return 1 - variance(residual) / variance(x)
