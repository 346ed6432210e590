"""The activations themselves as codes."""

from __future__ import annotations

from typing import Unpack

import torch
from jaxtyping import Float
from torch import Tensor

from saelab.sae.control import Axes
from saelab.sae.step import Common


class Identity(Axes):
    """f = x, or with `signed=false` f = [ReLU(x), ReLU(−x)]; y_hat = x exactly. The neurons as a control for latents.

    In normalised space, so codes are the activations times one number; with `normalize=none` they are the activations.
    Nothing is trained.

    Args:
        signed: codes of either sign, one a neuron; else two halves, d_sae = 2 d_in. More latents than that stay dead.
        d_in, and the rest: see `SAE`, and `Control` for what it refuses. b_dec_init must be `zeros`.
    """

    def __init__(self, *, signed: bool = True, **common: Unpack[Common]) -> None:
        super().__init__(signed=signed, **common)
        if self.room < self.d_in:
            needed = f"d_sae={self.d_in}" if signed else f"the two halves of the neurons: d_sae={2 * self.d_in}"
            raise ValueError(f"d_sae={self.d_sae} cannot hold d_in={self.d_in} neurons; set {needed}.")

    def axes(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "v d"]:
        return torch.eye(self.d_in, dtype=x.dtype, device=x.device)
