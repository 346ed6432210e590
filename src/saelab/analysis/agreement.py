"""Did two dictionaries learn the same latents? One-to-one matches of their atoms, and of their activations."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from saelab.analysis.truth import cosines, match, random_atoms

NEAR = (0.5, 0.7, 0.9)


class Agreement(NamedTuple):
    """Living latents of A matched one-to-one with living ones of B, so that the sum of their cosines is largest.

    a, b: the pairs, by a.  cos: of each pair.  best: the largest cosine with any of B, for each living latent of A.
    living: how many live in A and in B.
    """

    a: Int[Tensor, " m"]
    b: Int[Tensor, " m"]
    cos: Float[Tensor, " m"]
    best: Float[Tensor, " l"]
    living: tuple[int, int]


def decoder_agreement(
    A: Float[Tensor, "s d"], B: Float[Tensor, "t d"], *, alive_a: Bool[Tensor, " s"], alive_b: Bool[Tensor, " t"]
) -> Agreement:
    """Match atoms by cos(a_i, b_j); opposite atoms are different features, so a negative cosine is worth nothing."""
    return _agreement(cosines(A[alive_a].double(), B[alive_b].double()), alive_a, alive_b)


def activation_agreement(
    A: Float[Tensor, "n s"], B: Float[Tensor, "n t"], *, alive_a: Bool[Tensor, " s"], alive_b: Bool[Tensor, " t"]
) -> Agreement:
    """Match latents by the cosine of their codes over the same n rows, Σ f_i g_j / (||f_i|| ||g_j||)."""
    return _agreement(cosines(A[:, alive_a].double().T, B[:, alive_b].double().T), alive_a, alive_b)


def _agreement(cos: Float[Tensor, "l m"], alive_a: Bool[Tensor, " s"], alive_b: Bool[Tensor, " t"]) -> Agreement:
    number_a, number_b = alive_a.nonzero()[:, 0], alive_b.nonzero()[:, 0]
    living = (len(number_a), len(number_b))
    if not all(living):
        empty = torch.empty(0, dtype=torch.long)
        return Agreement(empty, empty, torch.empty(0, dtype=cos.dtype), torch.empty(0, dtype=cos.dtype), living)
    pairs = match(cos.clamp(min=0))  # which takes absolute values
    a, b = pairs.latent, pairs.feature
    return Agreement(number_a.cpu()[a], number_b.cpu()[b], cos.cpu()[a, b], cos.amax(1).cpu(), living)


def agreement_scores(g: Agreement, *, near: tuple[float, ...] = NEAR) -> dict[str, float]:
    """Headlines of an agreement; nan where either dictionary has no living latent.

    mean_cos: over the matched pairs, 1 for the same dictionary in another order (MCC).  matched_<c>: pairs with cos
    >= c over the living latents of the larger side, which have no partner where they are too many.
    mean_max_cos: `best`, without one-to-one (MMCS, Sharkey et al. 2022).
    """
    if not all(g.living):
        names = ("mean_cos", "mean_max_cos", *(f"matched_{c:g}" for c in near))
        return dict.fromkeys(names, float("nan"))
    shares = {f"matched_{c:g}": float((g.cos >= c).sum()) / max(g.living) for c in near}
    return {"mean_cos": float(g.cos.double().mean()), "mean_max_cos": float(g.best.double().mean())} | shares


def same_partner(one: Agreement, other: Agreement, latents: int) -> float:
    """Of the latents of A that both matchings pair, the share that they give the same partner; nan without any."""
    table = torch.full((2, latents), -1)
    table[0, one.a], table[1, other.a] = one.b, other.b
    both = (table >= 0).all(0)
    return float((table[0] == table[1])[both].double().mean())


def chance_agreement(A: Float[Tensor, "s d"], *, alive_a: Bool[Tensor, " s"], latents: int, seed: int = 0) -> Agreement:
    """A beside as many random unit vectors as B has latents: what matching alone makes of nothing."""
    B = random_atoms(latents, A.shape[1], seed=seed).to(A)
    return decoder_agreement(A, B, alive_a=alive_a, alive_b=torch.ones(latents, dtype=torch.bool, device=A.device))


def shuffled_agreement(
    A: Float[Tensor, "n s"],
    B: Float[Tensor, "n t"],
    *,
    alive_a: Bool[Tensor, " s"],
    alive_b: Bool[Tensor, " t"],
    seed: int = 0,
) -> Agreement:
    """`activation_agreement` with B's rows in another order: what densities alone make of nothing."""
    order = torch.randperm(len(B), generator=torch.Generator().manual_seed(seed)).to(B.device)
    return activation_agreement(A, B[order], alive_a=alive_a, alive_b=alive_b)
