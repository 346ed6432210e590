"""Input normalisation: the space in which SAEs are trained."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from saelab.sae.step import Normalize

FLOOR = 1e-4  # of the mean variance: directions with less are not blown up to unit variance


class Normalizer(nn.Module):
    """x ↦ normalised x, and back; fitted once, on a sample of the user's activations.

    none: x.
    scale: x √(d / E‖x‖²), one number, so that E‖x‖² = d (Anthropic, April 2024 update).
    layer_norm: (x − m) / s, with m and s the mean and the standard deviation over the row's own d entries, so that
        ‖x‖² = d for each row (Gao et al. 2024, arXiv 2406.04093, §A.1). The way back needs the row: `inverse(y, x)`.
    whiten: (x − μ) (Σ + ε)^(−1/2), ε = 1e-4 tr Σ / d, with μ and Σ the sample's (arXiv 2511.13981).

    Shapes: rows `[b, d]`. Errors: ValueError for a sample that is all zeros, or constant where that cannot be scaled.
    """

    scale: Tensor
    mean: Tensor
    to_white: Tensor
    from_white: Tensor

    def __init__(self, kind: Normalize, d: int) -> None:
        super().__init__()
        self.kind, self.d = kind, d
        if kind == "scale":
            self.register_buffer("scale", torch.ones(()))
        elif kind == "whiten":
            self.register_buffer("mean", torch.zeros(d))
            self.register_buffer("to_white", torch.eye(d))
            self.register_buffer("from_white", torch.eye(d))

    def forward(self, x: Float[Tensor, "b d"]) -> Float[Tensor, "b d"]:
        if self.kind == "scale":
            return x * self.scale
        if self.kind == "layer_norm":
            mean, std = _moments(x)
            return (x - mean) / std
        if self.kind == "whiten":
            return (x - self.mean) @ self.to_white
        return x

    def inverse(self, y: Float[Tensor, "b d"], x: Float[Tensor, "b i"] | None = None) -> Float[Tensor, "b d"]:
        """Back to the user's space; `x` are the rows that were normalised, which only `layer_norm` needs."""
        if self.kind == "scale":
            return y / self.scale
        if self.kind == "layer_norm":
            if x is None:
                raise ValueError("normalize=layer_norm: each row has a scale of its own; give the rows: decode(f, x).")
            mean, std = _moments(x)
            return y * std + mean
        if self.kind == "whiten":
            return y @ self.from_white + self.mean
        return y

    @torch.no_grad()
    def fit_(self, x: Float[Tensor, "n d"]) -> None:
        """Learn scale, or mean and covariance, from a sample."""
        if not x.any():
            raise ValueError("All activations are zero: the site is dead, choose another.")
        if self.kind == "scale":
            self.scale.copy_((self.d / x.double().square().sum(1).mean()).sqrt())
        elif self.kind == "whiten":
            mean, rows = x.double().mean(0), x.double()
            variance, axes = torch.linalg.eigh((rows - mean).T @ (rows - mean) / len(rows))
            if variance[-1] <= 0:
                raise ValueError("normalize=whiten: all rows are the same, they have no covariance.")
            std = (variance.clamp_min(0) + FLOOR * variance.mean()).sqrt()
            self.mean.copy_(mean)
            self.to_white.copy_(axes / std @ axes.T)
            self.from_white.copy_(axes * std @ axes.T)


def _moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each row over its own entries."""
    mean = x.mean(-1, keepdim=True)
    return mean, (x - mean).square().mean(-1, keepdim=True).sqrt().clamp_min(1e-6)
