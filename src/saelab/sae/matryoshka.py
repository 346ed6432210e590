"""Matryoshka SAE."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Unpack

from jaxtyping import Float
from torch import Tensor

from saelab.kernels import Support
from saelab.sae.batchtopk import BatchTopK
from saelab.sae.prefixes import FRACTIONS, Prefixes, Weights
from saelab.sae.step import Common, Step


class Matryoshka(BatchTopK):
    """BatchTopK whose first latents must reconstruct alone: loss = Σ_l w ‖y − y_hat_l‖² + AuxK, means over rows.

    y_hat_l = f_{1..n_l} W_dec,{1..n_l} + b_dec. Codes are selected once, over the whole dictionary, so that a level
    uses those of the k b codes of a batch that fall into it. General latents gather in the small prefixes, and are not
    absorbed by more specific ones (Bussmann et al. 2025, arXiv 2503.17547). See `Prefixes`.

    AuxK is that of `SAE`: dead latents of all levels learn from the residual of the whole dictionary.

    Args:
        k: codes a row uses on average, over the whole dictionary.
        levels: widths of the prefixes, the last d_sae; or fractions of d_sae, the last 1.
        random_levels: draw so many prefixes for each batch instead; 0 for fixed ones.
        level_weights: each level's error counts once (`sum`), or they are averaged (`mean`), which leaves AuxK and
            reanimation as strong beside the errors as in other variants.
        d_in, and the rest: see `SAE`.
    """

    def __init__(
        self,
        *,
        k: float = 32,
        levels: Sequence[float] = FRACTIONS,
        random_levels: int = 0,
        level_weights: Weights = "mean",
        **common: Unpack[Common],
    ) -> None:
        super().__init__(k=k, **common)
        self.prefixes = Prefixes(d_sae=self.d_sae, levels=levels, random=random_levels, weights=level_weights)

    def levels(
        self, f: Float[Tensor, ...], x: Float[Tensor, "b i"], where: Support | None
    ) -> Iterator[Float[Tensor, "b o"]]:
        return self.prefixes.levels(self, f, x, where)

    def error(self, s: Step) -> Float[Tensor, ""]:
        return self.prefixes.error(s, self.likelihood)
