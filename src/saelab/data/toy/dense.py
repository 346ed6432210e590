"""The dense part of a toy: seven shapes of a continuous, low-dimensional signal."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from saelab.data import checks, rng
from saelab.data.toy.dictionary import dct_rows, orthonormal
from saelab.data.toy.grid import to_grid, unit


def uniform(item: Tensor, k: int) -> Tensor:
    """U(-1, 1)^k."""
    return _uniform(item, k) * 2 - 1


def gaussian(item: Tensor, k: int) -> Tensor:
    """N(0, I_k)."""
    return rng.normal(_bits(item, k))


def sphere(item: Tensor, k: int) -> Tensor:
    """Uniform on the unit sphere of R^k."""
    return unit(to_grid(gaussian(item, k)))


def torus(item: Tensor, k: int) -> Tensor:
    """k / 2 independent circles: (cos θ_i, sin θ_i) beside each other, θ ~ U(0, 2π)."""
    angle = _uniform(item, k // 2) * math.tau
    return torch.stack([angle.cos(), angle.sin()], dim=-1).flatten(1)


def swiss_roll(item: Tensor, k: int) -> Tensor:
    """(t cos t, h, t sin t) with t = 1.5 π (1 + 2u), u ~ U(0, 1), h ~ U(-1, 1): up to ±14 wide, k = 3."""
    u, h = _uniform(item, 2).unbind(1)
    t = (u * 2 + 1) * (1.5 * math.pi)
    return torch.stack([t * t.cos(), h * 2 - 1, t * t.sin()], dim=-1)


# `ambient_gaussian` fills the space; `lowfreq_dct` is Gaussian on the smoothest directions.
SHAPES: dict[str, Callable[[Tensor, int], Tensor]] = {
    "uniform": uniform,
    "gaussian": gaussian,
    "sphere": sphere,
    "ambient_gaussian": gaussian,
    "torus": torus,
    "swiss_roll": swiss_roll,
    "lowfreq_dct": gaussian,
}


WIDTHS = {"torus": 4}  # of shapes whose own width is not 3; that of `ambient_gaussian` is d


def width(dense: str, k: int | None, d: int) -> int:
    """dense_dim; null means the shape's own."""
    return k if k is not None else d if dense == "ambient_gaussian" else WIDTHS.get(dense, 3)


def energy(dense: str, k: int) -> float:
    """E‖z‖² of a shape in k dimensions."""
    a, b = 1.5 * math.pi, 4.5 * math.pi  # the ends of the roll's t
    roll = (a**2 + a * b + b**2) / 3 + 1 / 3
    return {"uniform": k / 3, "sphere": 1.0, "torus": k / 2, "swiss_roll": roll}.get(dense, float(k))


def check_shape(dense: str, k: int, d: int) -> None:
    """Raises ValueError unless the shape exists in k of d dimensions."""
    checks.one_of("dense", dense, tuple(SHAPES))
    checks.within("dense_dim", k, 0, d)
    wrong = {
        "sphere": k == 1 and "at least 2",
        "torus": k % 2 == 1 and "even: two for each circle",
        "swiss_roll": k != 3 and "3",
        "ambient_gaussian": k != d and f"d={d}, as it fills the space",
    }.get(dense)
    if k and wrong:
        raise ValueError(f"dense_dim={k} must be {wrong}, with dense={dense}")


def dense_basis(stream: int, dense: str, k: int, d: int) -> Tensor:
    """Orthonormal rows C `[k, d]` float64: the first of the DCT-II for `lowfreq_dct`, else random ones."""
    return dct_rows(k, d) if dense == "lowfreq_dct" else orthonormal(stream, k, d)


def _bits(item: Tensor, k: int) -> Tensor:
    return rng.bits(rng.key("dense"), item[:, None], torch.arange(k, device=item.device))


def _uniform(item: Tensor, k: int) -> Tensor:
    return rng.uniform(_bits(item, k))
