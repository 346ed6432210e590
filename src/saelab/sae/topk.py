"""TopK SAE."""

from __future__ import annotations

from typing import Unpack

import torch
from jaxtyping import Float
from torch import Tensor

from saelab.kernels import Support, keep_top, kept_top, top
from saelab.sae.base import SAE
from saelab.sae.step import Common, Step

MULTI = 4  # times k: the codes of Multi-TopK's second reconstruction


class TopK(SAE):
    """f keeps each row's k largest pre-activations, and of those the positive ones; loss = ‖y − y_hat‖² + AuxK.

    No penalty pulls the codes towards zero, so they do not shrink (Gao et al. 2024, arXiv 2406.04093). L0 is k, or
    less in rows with fewer than k positive pre-activations.

    With `multi`, a second reconstruction from 4 k codes adds multi ‖y − y_hat(4 k)‖², mean over rows (Multi-TopK,
    there, with 1/8): codes then stay good when another k is used later. With `k_start`, training starts with k_start
    codes and goes, linearly and rounded, to k, which holds from the fraction `k_anneal` of training on. Evaluation
    always uses k.

    Args:
        k: codes a row may use.
        multi: weight of Multi-TopK; 0 turns it off.
        k_start: codes a row may use when training starts; None for k.
        k_anneal: the fraction of training after which k holds.
        d_in, and the rest: see `SAE`.
    """

    def __init__(
        self,
        *,
        k: int = 32,
        multi: float = 0.0,
        k_start: int | None = None,
        k_anneal: float = 0.5,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(**common)
        k_start = k if k_start is None else k_start
        for name, value in {"k": k, "k_start": k_start}.items():
            if not 1 <= value <= self.d_sae:
                raise ValueError(f"{name}={value} must be between 1 and d_sae={self.d_sae}.")
        if multi < 0:
            raise ValueError(f"multi={multi} must not be negative; 0 turns it off.")
        if not 0 < k_anneal <= 1:
            raise ValueError(f"k_anneal={k_anneal} is a fraction of training: above 0 and at most 1.")
        self.k, self.multi, self.k_start, self.k_anneal = k, multi, k_start, k_anneal
        self.k_now = k_start  # follows from how far training is; `anneal_` sets it before each step

    @property
    def k_used(self) -> int:
        """k, or where annealing stands."""
        return self.k_now if self.training else self.k

    def kept(self, pre: Float[Tensor, "b s"]) -> Float[Tensor, "b s"]:
        return kept_top(pre, self.k_used)

    @property
    def sparse(self) -> bool:
        return super().sparse and not self.multi

    def support(self, pre: Float[Tensor, "b s"]) -> tuple[Support, Float[Tensor, " n"]]:
        return top(pre, self.k_used)

    def activate_at(self, pre: Float[Tensor, " n"], where: Support) -> Float[Tensor, " n"]:
        return pre.relu()

    def losses(self, s: Step) -> dict[str, Tensor]:
        terms = super().losses(s)
        if self.multi:
            more = keep_top(s.pre, min(MULTI * self.k_used, self.d_sae))
            terms["multi"] = self.multi * self.likelihood.error(self.reconstruct(more, s.x), s.y)
        return terms

    def facts(self) -> dict[str, Tensor]:
        return {} if self.k_start == self.k else {"k": torch.tensor(float(self.k_used))}

    def anneal_(self, progress: float) -> None:
        left = max(0.0, 1 - progress / self.k_anneal)
        self.k_now = round(self.k + (self.k_start - self.k) * left)
