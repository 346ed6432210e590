"""What a model of a dense and a sparse part is held against: chance, linear maps, and the true directions."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from saelab.analysis.leakage import least_squares
from saelab.analysis.streams import Parts
from saelab.analysis.truth import random_atoms
from saelab.sae.proximal import largest_eigenvalue, monotone_fista, shrink

ITERATIONS = 200
FLOOR = 0.01  # the least noise that the lasso reckons with, as a share of an entry's variance


def chance(x: Float[Tensor, "n d"], like: Parts, *, k: int, fit: Bool[Tensor, " n"]) -> Parts:
    """Random directions, as many as `like` has: a row's k largest positive projections are its sparse code.

    A dense code is as many projections as `like` has, untouched. The decoder is the best linear one of the rows in
    `fit`. k, rounded L0 of the model, makes the detectors as sparse: AUROC rises with the codes that fire.
    """
    (s, q), d = (like.f.shape[1], like.h.shape[1]), x.shape[1]
    centred = x - x[fit].mean(0)
    pre, h = centred @ random_atoms(s, d).to(x).T, centred @ random_atoms(q, d, seed=1).to(x).T
    top = pre.relu().topk(min(k, s), dim=1)
    f = torch.zeros_like(pre).scatter_(1, top.indices, top.values)
    line = least_squares(torch.cat([f, h], dim=1)[fit], x[fit])
    weight = line.weight.to(x)
    return Parts(f, h, weight[:s], h @ weight[s:] + line.bias.to(x))


def linear(x: Float[Tensor, "n d"], true: Parts, basis: Float[Tensor, "k d"], *, fit: Bool[Tensor, " n"]) -> Parts:
    """The best linear maps of x to s and to z, learned with the truth of the rows in `fit`; true directions decode."""
    s, z = (least_squares(x[fit], code[fit]).of(x).to(x) for code in (true.f, true.h))
    return Parts(s, z, true.atoms, z @ basis)


def lasso(
    x: Float[Tensor, "n d"],
    true: Parts,
    basis: Float[Tensor, "k d"],
    *,
    fit: Bool[Tensor, " n"],
    iterations: int = ITERATIONS,
) -> Parts:
    """The generating dictionaries with an encoder that sees x alone: what a model that learned them could do.

        s = argmin_{s >= 0} ½ (x − x̄ − s V) Σ⁻¹ (x − x̄ − s V)ᵀ + Σ_i λ_i s_i,   z = (x − s V) Cᵀ

    x̄ and Σ are mean and covariance, in `fit`, of what is not sparse; Σ's eigenvalues are at least FLOOR of an entry's
    variance. λ_i = ln((1 − p_i) / p_i) / E[s_i | s_i > 0], at least 0: the most probable s of features that fire with
    p_i, were the dense part Gaussian, but for fractions. Where this finds s and z, they can be found; where it does
    not, a model's failure may be the data's.
    """
    other = (x - true.sparse)[fit].double()
    least = FLOOR * x[fit].double().var(0).mean()
    values, axes = torch.linalg.eigh(other.T.cov(correction=0))
    whiten = (axes / values.clamp_min(least).sqrt()).to(x)
    rows, atoms = (x - other.mean(0).to(x)) @ whiten, true.atoms @ whiten
    rate = (true.f[fit] > 0).double().mean(0).clamp(1e-6, 1 - 1e-6)
    size = true.f[fit].double().mean(0) / rate
    penalty = (((1 - rate) / rate).log().clamp_min(0) / size.clamp_min(1e-6)).to(x)
    lipschitz = largest_eigenvalue(atoms)

    def descend(codes: Tensor, y: Tensor) -> Tensor:
        return shrink(codes + (rows - y) @ atoms.T / lipschitz, penalty / lipschitz)

    def objective(codes: Tensor, y: Tensor) -> Tensor:
        return (rows - y).square().sum(1) / 2 + codes @ penalty

    s = monotone_fista(torch.zeros_like(true.f), atoms, descend, objective, iterations)
    z = (x - s @ true.atoms) @ basis.T
    return Parts(s, z, true.atoms, z @ basis)
