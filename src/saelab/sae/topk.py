"""TopK SAE."""

from __future__ import annotations

from typing import Literal, Unpack

import torch
from jaxtyping import Float
from torch import Tensor

from saelab.sae.base import SAE, Common

BALANCE_ROWS = 4096  # enough to place a quantile of k / d_sae


class TopK(SAE):
    """f keeps each row's k largest pre-activations, and of those the positive ones; loss = ‖y − y_hat‖² + AuxK.

    No penalty pulls the codes towards zero, so they do not shrink (Gao et al. 2024, arXiv 2406.04093). L0 is k, or
    less in rows with fewer than k positive pre-activations.

    Args:
        k: codes a row may use.
        b_enc_init: `balanced` starts each latent's bias where its pre-activation is positive on k of d_sae rows, so
            that all begin by firing about equally often; `zeros` lets a few directions of large variance take all.
        d_in, and the rest: see `SAE`.
    """

    def __init__(
        self, *, k: int = 32, b_enc_init: Literal["zeros", "balanced"] = "balanced", **common: Unpack[Common]
    ) -> None:
        super().__init__(**common)
        if not 1 <= k <= self.d_sae:
            raise ValueError(f"k={k} must be between 1 and d_sae={self.d_sae}.")
        self.k, self.b_enc_init = k, b_enc_init

    def activate(self, pre: Float[Tensor, "b s"]) -> Float[Tensor, "b s"]:
        values, rows = pre.topk(self.k, dim=-1, sorted=False)
        return pre.new_zeros(pre.shape).scatter(-1, rows, values.relu())

    @torch.no_grad()
    def init_from_(self, x: Float[Tensor, "n i"]) -> None:
        super().init_from_(x)
        if self.b_enc_init == "balanced":
            pre = self.preactivate(x[:BALANCE_ROWS] * self.scale)
            below = round(len(pre) * (1 - self.k / self.d_sae))
            if below > 0:  # else every latent may fire on every row
                self.b_enc.sub_(pre.kthvalue(below, dim=0).values)
