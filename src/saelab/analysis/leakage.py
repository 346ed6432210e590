"""Which code holds what: held-out R² of linear read-outs, alone and beyond what another code tells."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

SINGULAR = 1e-10  # eigenvalues below this share of the largest are rounding
RARE = 10  # rows to fit on, below which a line says nothing of other rows


class Line(NamedTuple):
    """t̂ = c @ weight + bias."""

    weight: Float[Tensor, "q k"]
    bias: Float[Tensor, " k"]

    def of(self, code: Float[Tensor, "n q"]) -> Float[Tensor, "n k"]:
        return code.double() @ self.weight + self.bias


def least_squares(code: Float[Tensor, "n q"], target: Float[Tensor, "n k"]) -> Line:
    """The line with the least Σ ‖t − t̂‖², of those the one with the smallest weights on standardised codes; float64."""
    c, t = code.double(), target.double()
    c_mean, t_mean = c.mean(0), t.mean(0)
    std = c.std(0, correction=0)
    scale = torch.where(std > 1e-6 * c.abs().amax(0), 1 / std, 0.0)
    c = (c - c_mean) * scale
    gram = torch.linalg.pinv(c.T @ c, rtol=SINGULAR, hermitian=True)
    weight = (gram @ (c.T @ (t - t_mean))) * scale[:, None]
    return Line(weight, t_mean - c_mean @ weight)


def r2(code: Float[Tensor, "n q"], target: Float[Tensor, "n k"], *, fit: Bool[Tensor, " n"]) -> float:
    """1 − Σ ‖t − t̂‖² / Σ ‖t − t̄‖² on the rows outside `fit`, t̂ the least-squares line of the codes on those inside.

    All of the target at once, so that no rotation of it changes the number. Columns that leave their median on fewer
    than RARE rows of `fit` are not read. 0 for a code without others, such as one of no width; below 0 by about q / n
    where it tells nothing; nan for a target that does not vary.
    """
    if target.shape[1] == 0:
        return torch.nan
    t = target[~fit].double()
    total = (t - t.mean(0)).square().sum()
    if total == 0:
        return torch.nan
    code = code[:, read(code[fit])]
    if code.shape[1] == 0:
        return 0.0
    rest = t - least_squares(code[fit], target[fit]).of(code[~fit])
    return (1 - rest.square().sum() / total).item()


def read(code: Float[Tensor, "n q"]) -> Bool[Tensor, " q"]:
    """The columns that vary on enough rows: of a sparse code, those that fire."""
    if code.shape[1] == 0:
        return torch.zeros(0, dtype=torch.bool, device=code.device)
    return (code != code.median(0).values).sum(0) >= RARE


class Shares(NamedTuple):
    """What of a target's variance lies where.

    own: R² from the code it belongs in.  other: from the other one alone.  leak: what the other adds to the own one,
    R²(own, other) − R²(own).  lost: 1 − R²(own, other), what neither has. own + leak + lost = 1.
    """

    own: float
    other: float
    leak: float
    lost: float


def shares(
    own: Float[Tensor, "n p"], other: Float[Tensor, "n q"], target: Float[Tensor, "n k"], *, fit: Bool[Tensor, " n"]
) -> Shares:
    """A target that both codes hold does not leak: it is in `other` that the second copy shows."""
    alone, both = r2(own, target, fit=fit), r2(torch.cat([own, other], dim=1), target, fit=fit)
    return Shares(alone, r2(other, target, fit=fit), both - alone, 1 - both)
