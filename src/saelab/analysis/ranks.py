"""How many directions a matrix uses: of weights by its singular values, of codes by their correlations."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

THRESHOLDS = (0.001, 0.01, 0.05, 0.1)


def weight_ranks(W: Float[Tensor, "s d"], *, thresholds: tuple[float, ...] = THRESHOLDS) -> dict[str, float]:
    """Ranks of a weight matrix from its singular values σ_1 >= ... >= σ_n, p = σ / Σσ; nan for a matrix of zeros.

    stable_rank = ||W||_F² / σ_1² (Rudelson & Vershynin 2007).  spectral_entropy = -Σ p ln p, effective_rank its
    exponential (Roy & Vetterli 2007).  participation_ratio = (Σσ)² / Σσ².  matrix_rank: σ_i > σ_1 max(s, d) ε,
    ε that of the weights' own precision.  rank_<t>: σ_i >= t σ_1.  condition_number = σ_1 / σ_n, inf if singular.
    spectral_decay = (ln σ_1 - ln σ_r) / (r - 1), r the matrix rank, and 0 if that is 1.
    effective_dim_ratio = stable_rank / d.  utilization = stable_rank / matrix_rank.
    """
    sigma = torch.linalg.svdvals(W.double())
    p, first = sigma / sigma.sum(), sigma[0]
    stable = float(sigma.square().sum() / first.square())
    entropy = float(torch.special.entr(p).sum())
    rank = int((sigma > first * max(W.shape) * torch.finfo(W.dtype).eps).sum())
    last = sigma[max(rank - 1, 0)]
    return {
        "stable_rank": stable,
        "effective_rank": math.exp(entropy),
        "spectral_entropy": entropy,
        "participation_ratio": float(sigma.sum().square() / sigma.square().sum()),
        "matrix_rank": float(rank),
        "condition_number": float(first / sigma[-1]) if rank == len(sigma) else float("inf") if rank else float("nan"),
        "spectral_decay": float((first.log() - last.log()) / max(rank - 1, 1)),
        "effective_dim_ratio": stable / W.shape[1],
        "utilization": stable / rank if rank else float("nan"),
        **{f"rank_{t:g}": float((sigma >= t * first).sum()) if rank else 0.0 for t in thresholds},
    }


class Spectrum(NamedTuple):
    """Of the latents that vary: eigenvalues of their correlation matrix, largest first, and the correlations."""

    eigenvalues: Float[Tensor, " v"]
    correlation: Float[Tensor, "v v"]
    rows: int
    latents: int


def spectrum(codes: Float[Tensor, "n s"]) -> Spectrum:
    """Principal components of standardised codes; a latent that never varies has no correlations and is left out."""
    varies = (codes != codes[:1]).any(0)
    f = codes[:, varies].double()
    f = f - f.mean(0)
    f = f / f.norm(dim=0)
    correlation = f.T @ f
    eigenvalues = torch.linalg.eigvalsh(correlation).flip(0).clamp(min=0)
    return Spectrum(eigenvalues, correlation, len(codes), codes.shape[1])


def code_ranks(s: Spectrum, *, energy: tuple[float, ...] = (0.9, 0.95, 0.99), high: float = 0.8) -> dict[str, float]:
    """Ranks of codes from the eigenvalues λ of their correlations, p = λ / Σλ; nan if no latent varies.

    stable_rank = Σλ / λ_1.  rank: λ > λ_1 max(n, v) ε.  components_<e>: the fewest with at least e of Σλ.
    condition_number = sqrt(λ_1 / λ_rank).  participation_ratio = 1 / Σp².  entropy = -Σ p ln p.
    redundancy = 1 - rank / v, v the latents that vary; constant: those that do not.
    high_pairs, max_correlation, mean_correlation: of |r| over pairs of latents that vary, `high` counted.
    """
    v = len(s.eigenvalues)
    names = ["rank", "stable_rank", *(f"components_{e:g}" for e in energy), "condition_number"]
    names += ["participation_ratio", "entropy", "redundancy", "max_correlation", "mean_correlation"]
    if not v:
        return dict.fromkeys(names, float("nan")) | {"high_pairs": 0.0, "constant": float(s.latents)}
    lam = s.eigenvalues
    p = lam / lam.sum()
    rank = int((lam > lam[0] * max(s.rows, v) * torch.finfo(torch.float64).eps).sum())
    r = s.correlation[tuple(torch.triu_indices(v, v, 1))].abs()
    # A share of all the energy that rounding leaves just below e is e.
    needed = [float((p.cumsum(0) < e - 1e-12).sum() + 1) for e in energy]
    values = [float(rank), float(lam.sum() / lam[0]), *needed, float((lam[0] / lam[rank - 1]).sqrt())]
    values += [float(1 / p.square().sum()), float(torch.special.entr(p).sum()), 1 - rank / v]
    values += [float(r.max()) if len(r) else float("nan"), float(r.mean())]
    return dict(zip(names, values, strict=True)) | {
        "high_pairs": float((r > high).sum()),
        "constant": float(s.latents - v),
    }
