"""Directions along which activations tell a concept from the rest, and what is left of activations without one."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

SHRINKAGE = 1e-3  # of the covariance within classes towards a multiple of the identity


def class_mean_direction(x: Float[Tensor, "n d"], on: Bool[Tensor, " n"]) -> Float[Tensor, " d"]:
    """The unit vector along μ_c − μ: from the mean of all rows to that of the concept's."""
    rows = x.double()
    return F.normalize(rows[on].mean(0) - rows.mean(0), dim=0).to(x)


def lda_direction(
    x: Float[Tensor, "n d"], on: Bool[Tensor, " n"], *, shrinkage: float = SHRINKAGE
) -> Float[Tensor, " d"]:
    """The unit vector along S⁻¹ (μ_c − μ_rest), which separates best what has the same covariance (Fisher 1936).

    S = (1 − s) S_w + s tr(S_w) / d · I, S_w the mean over all rows of the squared distances to their class's mean.
    """
    rows = x.double()
    means = torch.where(on[:, None], rows[on].mean(0), rows[~on].mean(0))
    within = (rows - means).T @ (rows - means) / len(rows)
    d = len(within)
    shrunk = (1 - shrinkage) * within + shrinkage * within.trace() / d * torch.eye(d).to(within)
    return F.normalize(torch.linalg.solve(shrunk, rows[on].mean(0) - rows[~on].mean(0)), dim=0).to(x)


def probe_direction(x: Float[Tensor, "n d"], on: Bool[Tensor, " n"], *, c: float = 1.0) -> Float[Tensor, " d"]:
    """The unit vector along the weights of a logistic regression of the concept on standardised rows.

    They are divided by the standard deviations, so that x · u orders rows as the probe does.
    """
    from sklearn.linear_model import LogisticRegression  # takes a second, and few programs come here

    rows = x.double()
    scale = rows.std(0, correction=0)
    scale = torch.where(scale > 0, scale, 1.0)
    z = ((rows - rows.mean(0)) / scale).cpu().numpy()
    fitted = LogisticRegression(C=c, max_iter=1000).fit(z, on.cpu().numpy())
    return F.normalize(torch.from_numpy(fitted.coef_[0]).to(rows) / scale, dim=0).to(x)


def random_direction(d: int, *, seed: int) -> Float[Tensor, " d"]:
    """A unit vector, all directions equally likely."""
    return F.normalize(torch.randn(d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64), dim=0)


def without(x: Float[Tensor, "n d"], u: Float[Tensor, " d"]) -> Float[Tensor, "n d"]:
    """x − (x·u) u, for a unit vector u."""
    return x - (x @ u)[:, None] * u
