"""AbsTopK SAE."""

from __future__ import annotations

from typing import Unpack

from jaxtyping import Float
from torch import Tensor

from saelab.kernels import Support, top
from saelab.sae.base import SAE
from saelab.sae.step import Common


class AbsTopK(SAE):
    """f keeps each row's k pre-activations of largest magnitude, with their signs; loss = ‖y − y_hat‖² + AuxK.

    A latent stands for both ends of an axis: two TopK latents that point in opposite directions are one here. L0 is k
    (Zhu et al. 2025, arXiv 2510.00404).

    Args:
        k: codes a row uses.
        d_in, and the rest: see `SAE`; not `start_l0`, as a bias cannot set how often a latent fires on either side.
    """

    signed = True

    def __init__(self, *, k: int = 32, **common: Unpack[Common]) -> None:
        super().__init__(**common)
        if not 1 <= k <= self.d_sae:
            raise ValueError(f"k={k} must be between 1 and d_sae={self.d_sae}.")
        if self.start_l0:
            raise ValueError(f"start_l0={self.start_l0}: codes have both signs, no bias makes them rare: leave it 0.")
        self.k = k

    def activate(self, pre: Float[Tensor, "b s"]) -> Float[Tensor, "b s"]:
        which = pre.abs().topk(self.k, dim=-1, sorted=False).indices
        return pre.new_zeros(pre.shape).scatter(-1, which, pre.gather(-1, which))

    def support(self, pre: Float[Tensor, "b s"]) -> tuple[Support, Float[Tensor, " n"]]:
        where, _ = top(pre.abs(), self.k)
        return where, where.gather(pre)

    def activate_at(self, pre: Float[Tensor, " n"], where: Support) -> Float[Tensor, " n"]:
        return pre
