"""Where parameters start, from data."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor


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
