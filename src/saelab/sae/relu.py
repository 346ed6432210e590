"""ReLU SAE with an L1 or Lp penalty."""

from __future__ import annotations

from typing import Unpack

from jaxtyping import Float
from torch import Tensor

from saelab.kernels import Support, above
from saelab.sae.base import SAE
from saelab.sae.step import Common, Step

SOFT = 1e-3  # where Lp bends into a line: far below any code that matters


def power(f: Float[Tensor, "*b s"], p: float | Float[Tensor, ""]) -> Float[Tensor, "*b s"]:
    """f^p of codes f >= 0, safe at zero: (f + ε)^p − ε^p with ε = 1e-3, whose slope there is p ε^(p − 1)."""
    if not isinstance(p, Tensor) and p == 1:
        return f
    return (f + SOFT) ** p - SOFT**p


class ReLU(SAE):
    """f = ReLU(pre); loss = ‖y − y_hat‖² + l1 · Σ_i (f_i n_i)^p, both means over rows.

    n_i = ‖W_dec,i‖ with a `free` decoder, so that shrinking codes and growing rows gains nothing (Anthropic, April
    2024 update); n_i = 1 with a `unit` decoder, whose rows are held at norm one (Bricken et al. 2023). With p < 1 small
    codes cost more and large ones less, so what is kept shrinks less; see `power` for its slope at zero.

    Args:
        l1: the penalty's weight. Inputs have E‖x‖² = d, so the reconstruction starts near d: a weight that suits one
            layer suits another.
        p: the penalty's exponent, in (0, 1]; 1 is L1.
        d_in, and the rest: see `SAE`.
    """

    def __init__(self, *, l1: float = 1.0, p: float = 1.0, **common: Unpack[Common]) -> None:
        super().__init__(**common)
        if l1 < 0:
            raise ValueError(f"l1={l1} must not be negative.")
        if not 0 < p <= 1:
            raise ValueError(f"p={p} must be above 0 and at most 1, which is L1.")
        self.l1, self.p, self.summed = l1, p, p == 1

    def kept(self, pre: Float[Tensor, "b s"]) -> Float[Tensor, "b s"]:
        return pre.relu()

    def support(self, pre: Float[Tensor, "b s"]) -> tuple[Support, Float[Tensor, " n"]]:
        return above(pre, 0.0)

    def activate_at(self, pre: Float[Tensor, " n"], where: Support) -> Float[Tensor, " n"]:
        return pre.relu()

    def losses(self, s: Step) -> dict[str, Tensor]:
        return super().losses(s) | {"sparsity": self.sparsity(s)}

    def sparsity(self, s: Step) -> Float[Tensor, ""]:
        """The weighted penalty."""
        return self.l1 * self.penalty(s, self.p)

    def penalty(self, s: Step, p: float | Float[Tensor, ""]) -> Float[Tensor, ""]:
        """Σ_i (f_i n_i)^p, mean over rows."""
        norms = self.W_dec.norm(dim=1) if self.decoder == "free" else None
        if isinstance(p, Tensor) or p != 1:
            return s.total(power(s.f if norms is None else s.f * s.of(norms), p))
        return s.weighted_total(s.f, norms)
