"""Principal components as codes."""

from __future__ import annotations

from typing import Unpack

import torch
from jaxtyping import Float
from torch import Tensor

from saelab.sae.control import Axes
from saelab.sae.step import Common


class PCA(Axes):
    """f = (x − x̄) Vᵀ, V the d_sae eigenvectors of the covariance with most variance; y_hat = x̄ + f V.

    No linear code of that many numbers explains more variance, and none of these numbers is sparse: what an SAE's EV at
    the same d_sae, or at L0 = d_sae, is to be held against. Fitted by `init_from_` to its sample, in normalised space,
    without training; each component's largest entry is positive.

    Args:
        signed: codes of either sign; else each component has two latents, ReLU(f) and ReLU(−f).
        d_in, and the rest: see `SAE`, and `Control` for what it refuses. b_dec_init must be `mean`. Latents for which
            there is no component, or no variance in the sample, stay dead.
    """

    centre, dense_codes = "mean", True

    def __init__(self, *, signed: bool = True, **common: Unpack[Common]) -> None:
        super().__init__(signed=signed, **common)
        if not self.room:
            raise ValueError(f"d_sae={self.d_sae} cannot hold the two halves of a component: at least 2.")

    def axes(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "v d"]:
        rows = (x - x.mean(0)).double()
        variance, axes = torch.linalg.eigh(rows.T @ rows / len(rows))
        real = variance > 1e-12 * variance[-1]
        axes = axes.T[real].flip(0)
        top = axes.gather(1, axes.abs().argmax(1, keepdim=True))
        return (axes * top.sign()).to(x.dtype)
