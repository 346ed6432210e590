"""Dual ascent: what holds L0 at a target, as a multiplier that grows while it is missed."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Dual:
    """The augmented Lagrangian of log R under L0 = L* (or L0 <= L*), R the reconstruction error; ν = L0 / L* − 1.

        equality:    sg(R) (λ ν + ρ ν² / 2),                    gradient sg(R) (λ + ρ ν) ∇ν
        inequality:  sg(R) (max(0, λ + ρ ν)² − λ²) / (2 ρ),     gradient sg(R) max(0, λ + ρ ν) ∇ν
        ascent:      λ ← λ + lr ν̄,  between its bounds

    log R has the minimisers of R, and its Lagrangian's gradient times R is that of R plus this penalty; but λ has no
    unit. At rest it is the percentage by which R would fall for one per cent more codes: between 0.04 and 2 for all
    layers, widths and targets measured, where the same price in units of d varied by a factor of 300. So one lr and
    one ρ serve all, and the price follows R down while it is learned. λ integrates the violation; ρ answers it at
    once, which is what damps the oscillation of an integrator.

    Args:
        target: L*.
        lr: how far λ moves per batch and relative violation.
        rho: ρ, the price of a relative violation of one.
        equality: False lets L0 be lower.
        lower, upper: bounds of λ.
    """

    target: float
    lr: float
    rho: float
    equality: bool
    lower: float
    upper: float

    def violation(self, l0: Float[Tensor, ""]) -> Float[Tensor, ""]:
        """ν, relative to the target."""
        return l0 / self.target - 1

    def penalty(
        self, multiplier: Float[Tensor, ""], l0: Float[Tensor, ""], error: Float[Tensor, ""], d: int
    ) -> Float[Tensor, ""]:
        """The term of the loss; `l0` carries the gradient; `error` is sg(R), a sum over `d` entries."""
        nu = self.violation(l0)
        term = multiplier * nu + self.rho / 2 * nu.square()
        if not self.equality:
            slack = -multiplier.square() / (2 * self.rho) if self.rho else torch.zeros_like(multiplier)
            term = torch.where(multiplier + self.rho * nu > 0, term, slack)
        return error * term

    def ascend_(self, multiplier: Float[Tensor, ""], l0: Float[Tensor, ""]) -> None:
        """Move the multiplier."""
        multiplier.add_(self.lr * self.violation(l0)).clamp_(self.lower, self.upper)


class ReferenceDual(Dual):
    """The rule of raymondzmc/Lagrangian-SAE, to the letter, for comparison.

        penalty:  d (α ν + ρ ν²),  for an inequality with max(0, ν) for ν
        ascent:   α ← clamp(α + lr (L0_ema − L*), lower, upper)

    There R is a mean over all elements, here it is a sum over d: hence the factor d. α moves by raw codes and pays for
    relative ones, so the loop's gain grows with the target; and it has the unit of R, so that a bound which is ample
    for one layer keeps another from its target.
    """

    def penalty(
        self, multiplier: Float[Tensor, ""], l0: Float[Tensor, ""], error: Float[Tensor, ""], d: int
    ) -> Float[Tensor, ""]:
        nu = self.violation(l0)
        nu = nu if self.equality else nu.relu()
        return d * (multiplier * nu + self.rho * nu.square())

    def ascend_(self, multiplier: Float[Tensor, ""], l0: Float[Tensor, ""]) -> None:
        multiplier.add_(self.lr * (l0 - self.target)).clamp_(self.lower, self.upper)
