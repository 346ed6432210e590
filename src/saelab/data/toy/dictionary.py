"""The directions of a toy's sparse and dense part, and the angle between the two subspaces."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from saelab.data import rng
from saelab.data.toy.grid import to_grid, unit


def gaussian(stream: int, rows: int, columns: int) -> Tensor:
    """N(0, 1) on the grid, `[rows, columns]` float32, on the CPU."""
    row, column = torch.arange(rows)[:, None], torch.arange(columns)
    return to_grid(rng.normal(rng.bits(stream, row, column)))


def orthonormal(stream: int, rows: int, columns: int, beside: Tensor | None = None) -> Tensor:
    """Random orthonormal rows `[rows, columns]` float64, orthogonal to those of `beside` too.

    The Q of a QR factorisation of Gaussian columns, which is uniform over such frames.
    """
    random = gaussian(stream, rows, columns).double()
    given = random.new_empty(0, columns) if beside is None else beside
    q, r = torch.linalg.qr(torch.cat([given, random]).T)
    return (q * r.diagonal().sign())[:, len(given) :].T


def dictionary(stream: int, n: int, basis: Tensor, decohere: int) -> Tensor:
    """Unit rows V `[n, d]` float32 on the grid, uniform on the sphere of the subspace `basis` `[m, d]` spans.

    decohere: steps that lower the largest overlaps; where n <= m one step makes the rows orthonormal.
    """
    v = unit(gaussian(stream, n, len(basis))).double()
    if decohere and n <= len(basis):
        u, _, w = torch.linalg.svd(v, full_matrices=False)
        v = u @ w
    else:
        for _ in range(decohere):
            v = less_coherent(v)
    return unit(to_grid(v @ basis).float())


def less_coherent(v: Tensor) -> Tensor:
    """A step of descent on Σ_{i≠j} o_ij^4, o_ij = v_i · v_j: v_i - Σ_j o_ij^3 v_j / Σ_j o_ij^2, back at norm one."""
    overlap = v @ v.T
    overlap.fill_diagonal_(0.0)
    weight = overlap.square().sum(1, keepdim=True).clamp_min_(1e-12)
    moved = v - overlap.pow(3) @ v / weight
    return moved / moved.norm(dim=1, keepdim=True)


def dct_rows(k: int, d: int) -> Tensor:
    """The first k rows of the orthonormal DCT-II basis of R^d, `[k, d]` float64: c_i(t) = cos(π i (2t + 1) / 2d)."""
    i, t = torch.arange(k, dtype=torch.float64)[:, None], torch.arange(d, dtype=torch.float64)
    rows = torch.cos(math.pi * i * (2 * t + 1) / (2 * d)) * math.sqrt(2 / d)
    rows[:1] /= math.sqrt(2)
    return rows


def subspace_at(stream: int, dense: Tensor, m: int, angle: float | None) -> Tensor:
    """An orthonormal basis `[m, d]` float64 of a subspace at `angle` degrees from the one `dense` `[k, d]` spans.

        b_i = cos(angle) c_i + sin(angle) e_i   (i < k),   b_i = e_i   (k <= i < m)

    with e_i random, orthonormal, and orthogonal to `dense`: all min(k, m) principal angles are `angle`. None: a random
    subspace, whatever its angles. m = d with angle None is the whole space.
    """
    k, d = dense.shape
    if angle is None or k == 0:
        return orthonormal(stream, m, d)
    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    if angle == 0:
        return torch.cat([dense[:m], orthonormal(stream, max(0, m - k), d, dense)])
    basis = orthonormal(stream, m, d, dense)
    shared = min(k, m)
    basis[:shared] = cos * dense[:shared] + sin * basis[:shared]
    return basis
