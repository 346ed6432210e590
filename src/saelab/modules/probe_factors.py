"""How well continuous factors are read by ridge regression."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from saelab.modules.standardise import standardisation


def factor_rows(
    x: Float[Tensor, "n d"],
    y: Float[Tensor, "n f"],
    *,
    part: Int[Tensor, " n"],
    folds: int,
    c: float,
    names: Sequence[str],
) -> list[dict]:
    """Rows of class (`all` or a factor), split (`test`, `cv`), r2, r2_std (cv) and n.

    w = argmin c ||y - x w - b||^2 + ||w||^2 on features standardised over the training part: scikit-learn's
    Ridge(alpha=1/c). `part` is that of `stratified_folds`; R^2 = 1 - SSE / SST within the rows tested.
    """
    y = y.double().to(x.device)
    mean, scale = standardisation(x, (part >= 0) & (part < folds))
    moments = [moment((x[part == k].double() - mean) / scale, y[part == k]) for k in range(folds)]
    r2 = []
    for p in range(folds + 1):
        seen = sum(m for k, m in enumerate(moments) if k != p)
        assert isinstance(seen, Tensor)
        w, b = solve(seen, x.shape[1], 1 / c)
        target = y[part == p]
        error = target - ((x[part == p].double() - mean) / scale) @ w - b
        r2.append(1 - error.square().sum(0) / (target - target.mean(0)).square().sum(0))
    scores = torch.stack(r2)
    scores = torch.cat([scores.mean(1, keepdim=True), scores], dim=1).cpu()  # over all factors, then each
    tested = int((part == folds).sum()), int(((part >= 0) & (part < folds)).sum())
    rows: list[dict] = []
    for i, name in enumerate(("all", *names)):
        cv = scores[:-1, i]
        rows.append({"class": name, "split": "test", "r2": float(scores[-1, i]), "n": tested[0]})
        rows.append({"class": name, "split": "cv", "r2": float(cv.mean()), "r2_std": float(cv.std(correction=0))})
        rows[-1]["n"] = tested[1]
    return rows


def moment(x: Float[Tensor, "n d"], y: Float[Tensor, "n f"]) -> Float[Tensor, "rows columns"]:
    """[x 1]^T [x 1 y], `[d+1, d+1+f]`: all that least squares needs of these rows; moments of disjoint rows add."""
    x = torch.cat([x, x.new_ones(len(x), 1)], dim=1)
    return x.T @ torch.cat([x, y], dim=1)


def solve(m: Float[Tensor, "rows columns"], d: int, alpha: float) -> tuple[Float[Tensor, "d f"], Float[Tensor, " f"]]:
    """Weights and intercept; the intercept is not penalised, so it is eliminated first."""
    n, sx, sy = m[d, d], m[:d, d], m[d, d + 1 :]
    gram = m[:d, :d] - torch.outer(sx, sx) / n + alpha * torch.eye(d, dtype=m.dtype, device=m.device)
    w = torch.linalg.solve(gram, m[:d, d + 1 :] - torch.outer(sx, sy) / n)
    return w, (sy - sx @ w) / n
