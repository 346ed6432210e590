"""TopK SAE."""

from __future__ import annotations

from typing import Unpack

from jaxtyping import Float
from torch import Tensor

from saelab.sae.base import SAE
from saelab.sae.step import Common


class TopK(SAE):
    """f keeps each row's k largest pre-activations, and of those the positive ones; loss = ‖y − y_hat‖² + AuxK.

    No penalty pulls the codes towards zero, so they do not shrink (Gao et al. 2024, arXiv 2406.04093). L0 is k, or
    less in rows with fewer than k positive pre-activations.

    Args:
        k: codes a row may use.
        d_in, and the rest: see `SAE`.
    """

    def __init__(self, *, k: int = 32, **common: Unpack[Common]) -> None:
        super().__init__(**common)
        if not 1 <= k <= self.d_sae:
            raise ValueError(f"k={k} must be between 1 and d_sae={self.d_sae}.")
        self.k = k

    def activate(self, pre: Float[Tensor, "b s"]) -> Float[Tensor, "b s"]:
        values, rows = pre.topk(self.k, dim=-1, sorted=False)
        return pre.new_zeros(pre.shape).scatter(-1, rows, values.relu())
