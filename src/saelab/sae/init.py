"""Where parameters start."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from saelab.kernels.order import kth_largest_of_rows

START_ROWS = 4096  # enough to place a quantile of l0 / d_sae


def unit_rows(n: int, d: int) -> Float[Tensor, "n d"]:
    """Random directions: Gaussian rows brought to norm one."""
    return nn.functional.normalize(torch.randn(n, d), dim=1)


def upper_quantile(pre: Float[Tensor, "n s"], fraction: float) -> Float[Tensor, " s"]:
    """The level that each column exceeds on `fraction` of its rows; below them all if that is every row."""
    below = round(len(pre) * (1 - fraction))
    if below == 0:
        return pre.amin(0) - pre.abs().amax(0).clamp_min(1) * 1e-3
    return kth_largest_of_rows(pre.detach().T.contiguous(), len(pre) - below + 1).squeeze(1)


def geometric_median(x: Float[Tensor, "n d"], *, steps: int = 100, tol: float = 1e-6) -> Float[Tensor, " d"]:
    """argmin_m Σ‖x_i − m‖ by Weiszfeld's iteration m ← Σ x_i/‖x_i − m‖ / Σ 1/‖x_i − m‖.

    A decoder bias at the geometric median is not dragged along by a few large activations (Bricken et al. 2023).
    """
    median = x.mean(0)
    for _ in range(steps):
        weight = 1 / (x - median).norm(dim=1).clamp_min(1e-12)
        moved = (weight @ x) / weight.sum()
        done = (moved - median).norm() <= tol * median.norm().clamp_min(1e-12)
        median = moved
        if done:
            break
    return median
