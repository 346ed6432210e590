"""ReLU SAE with an L1 penalty."""

from __future__ import annotations

from typing import Unpack

from jaxtyping import Float
from torch import Tensor

from saelab.sae.base import SAE
from saelab.sae.step import Common, Step


class ReLU(SAE):
    """f = ReLU(pre); loss = ‖y − y_hat‖² + l1 · Σ_i f_i n_i, both means over rows.

    n_i = ‖W_dec,i‖ with a `free` decoder, so that shrinking codes and growing rows gains nothing (Anthropic, April
    2024 update); n_i = 1 with a `unit` decoder, whose rows are held at norm one (Bricken et al. 2023).

    Args:
        l1: the penalty's weight. Inputs have E‖x‖² = d, so the reconstruction starts near d: a weight that suits one
            layer suits another.
        d_in, and the rest: see `SAE`.
    """

    def __init__(self, *, l1: float = 1.0, **common: Unpack[Common]) -> None:
        super().__init__(**common)
        if l1 < 0:
            raise ValueError(f"l1={l1} must not be negative.")
        self.l1 = l1

    def activate(self, pre: Float[Tensor, "b s"]) -> Float[Tensor, "b s"]:
        return pre.relu()

    def losses(self, s: Step) -> dict[str, Tensor]:
        weighted = s.f * self.W_dec.norm(dim=1) if self.decoder == "free" else s.f
        return super().losses(s) | {"sparsity": self.l1 * weighted.sum(-1).mean()}
