"""Matryoshka SAE with a multiplier."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Unpack

from jaxtyping import Float
from torch import Tensor

from saelab.kernels import Support
from saelab.sae.lagrangian import Lagrangian, LagrangianOptions
from saelab.sae.prefixes import FRACTIONS, Prefixes, Weights
from saelab.sae.step import Step


class MatryoshkaLagrangian(Lagrangian):
    """Lagrangian whose first latents must reconstruct alone: loss = Σ_l w ‖y − y_hat_l‖² + penalty, means over rows.

    The levels are those of `Matryoshka`, L0 is that of the whole dictionary, and the error that prices it, R, is the
    weighted sum over the levels. AuxK is that of `SAE`, on the residual of the whole dictionary.

    Args:
        levels: widths of the prefixes, the last d_sae; or fractions of d_sae, the last 1.
        random_levels: draw so many prefixes for each batch instead; 0 for fixed ones.
        level_weights: each level's error counts once (`sum`), or they are averaged (`mean`).
        target_l0, and the rest: see `Lagrangian`.
    """

    def __init__(
        self,
        *,
        levels: Sequence[float] = FRACTIONS,
        random_levels: int = 0,
        level_weights: Weights = "mean",
        **lagrangian: Unpack[LagrangianOptions],
    ) -> None:
        super().__init__(**lagrangian)
        self.prefixes = Prefixes(d_sae=self.d_sae, levels=levels, random=random_levels, weights=level_weights)

    def levels(
        self, f: Float[Tensor, ...], x: Float[Tensor, "b i"], where: Support | None
    ) -> Iterator[Float[Tensor, "b o"]]:
        return self.prefixes.levels(self, f, x, where)

    def error(self, s: Step) -> Float[Tensor, ""]:
        return self.prefixes.error(s, self.likelihood)
