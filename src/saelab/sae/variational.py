"""A variational code: its posterior, its samples, and what they cost."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

Codes = Float[Tensor, "b z"]
LOG_VAR = (-20.0, 10.0)  # beyond, a variance is none, or all there is
START_LOG_VAR = -4.0  # a code that starts as noise is not listened to, and never becomes a signal


def posterior(encoder: Callable[[Tensor], Tensor], x: Float[Tensor, "b i"]) -> tuple[Codes, Codes]:
    """μ and v of q(z|x) = N(μ, diag e^v): the halves of what the encoder gives, v starting at −4, in [−20, 10]."""
    mean, log_var = encoder(x).chunk(2, dim=1)
    return mean, (log_var + START_LOG_VAR).clamp(*LOG_VAR)


def sample(mean: Codes, log_var: Codes) -> Codes:
    """z ~ q(z|x), differentiable in both (Kingma & Welling 2014)."""
    return mean + torch.randn_like(mean) * (log_var / 2).exp()


def divergence(mean: Codes, log_var: Codes) -> Float[Tensor, ""]:
    """KL of q(z|x) from N(0, 1): ½ Σ_z (e^v + μ² − 1 − v), mean over rows, in float32 or what is wider."""
    wide = torch.promote_types(mean.dtype, torch.float32)
    mean, log_var = mean.to(wide), log_var.to(wide)
    return (log_var.exp() + mean.square() - 1 - log_var).sum(1).mean() / 2


def risen(progress: float, warmup: float) -> float:
    """How far a weight has risen that is whole after the fraction `warmup` of training, whatever its length."""
    return min(1.0, progress / warmup) if warmup else 1.0


def check(*, z_dim: int, beta: float, kl_warmup: float) -> None:
    """Raises: ValueError for a code without width, a negative weight, or a warm-up that is no fraction."""
    if z_dim < 1:
        raise ValueError(f"z_dim={z_dim} must be positive.")
    if beta < 0:
        raise ValueError(f"beta={beta} must not be negative.")
    if not 0 <= kl_warmup <= 1:
        raise ValueError(f"kl_warmup={kl_warmup} is a fraction of training: between 0 and 1.")
