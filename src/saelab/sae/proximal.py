"""What inference by proximal gradient is made of: a shrinkage, a safe step length, and a descent that cannot climb."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

Codes = Float[Tensor, "b n"]
Rows = Float[Tensor, "b d"]


def shrink(v: Tensor, threshold: Tensor | float, *, signed: bool = False) -> Tensor:
    """argmin_f ½ (f − v)² + threshold |f|, over f >= 0 unless `signed`."""
    return v.sign() * (v.abs() - threshold).relu() if signed else (v - threshold).relu()


@torch.no_grad()
def largest_eigenvalue(atoms: Float[Tensor, "n d"], *, squarings: int = 6) -> Float[Tensor, ""]:
    """An upper bound on λ_max of G = atomsᵀ atoms, in float32: (tr G^p)^(1/p), p = 2^squarings, by repeated squaring.

    Power iteration gives a lower bound, with which a step of 1/λ can be too long; this one is above by rank^(1/p) at
    most (10 % for p = 64 and 500 equal eigenvalues, nothing to speak of when one stands out), and 0.1 % for rounding.
    """
    atoms = atoms.float()
    power = atoms.T @ atoms if atoms.shape[1] < atoms.shape[0] else atoms @ atoms.T
    bound, share = power.trace(), 1.0
    power = power / bound
    for _ in range(squarings):
        power, share = power @ power, share / 2
        trace = power.trace()
        bound, power = bound * trace**share, power / trace
    return 1.001 * bound


def monotone_fista(
    codes: Codes,
    atoms: Float[Tensor, "n d"],
    descend: Callable[[Codes, Rows], Codes],
    objective: Callable[[Codes, Rows], Float[Tensor, " b"]],
    iterations: int,
) -> Codes:
    """Codes after so many accelerated steps, none of which raises a row's objective (Beck & Teboulle 2009, MFISTA).

    `descend` and `objective` are given codes and y = codes @ atoms, which is linear, so that a step costs what a plain
    one does. A candidate that is worse than what a row has is not taken; it only directs the next extrapolation.
    """
    y = codes @ atoms
    lowest = objective(codes, y)
    ahead, y_ahead, t = codes, y, 1.0
    for _ in range(iterations):
        new = descend(ahead, y_ahead)
        y_new = new @ atoms
        value = objective(new, y_new)
        lower = (value <= lowest)[:, None]
        kept, y_kept, lowest = torch.where(lower, new, codes), torch.where(lower, y_new, y), value.minimum(lowest)
        t_next = (1 + (1 + 4 * t**2) ** 0.5) / 2
        to_new, onward = t / t_next, (t - 1) / t_next
        ahead = kept + to_new * (new - kept) + onward * (kept - codes)
        y_ahead = y_kept + to_new * (y_new - y_kept) + onward * (y_kept - y)
        codes, y, t = kept, y_kept, t_next
    return codes
