"""How strong a toy's dense part is, and how many dimensions are left for the sparse one."""

from __future__ import annotations

import math

from saelab.data import checks
from saelab.data.toy.dense import energy


def scale_for(dense_energy: float, dense: str, dense_dim: int, dense_scale: float) -> float:
    """The scale with which a shape has this energy; ValueError where there is no dense part, or a scale beside it."""
    checks.above("dense_energy", dense_energy, 0)
    if dense_dim == 0 or dense_scale != 1:
        raise ValueError(
            f"dense_energy={dense_energy} says how strong the dense part is, but dense_dim={dense_dim}, "
            f"dense_scale={dense_scale}; set dense_energy to null, or dense_dim above 0 and dense_scale to 1"
        )
    return math.sqrt(dense_energy / energy(dense, dense_dim))


def sparse_dimensions(d: int, n_features: int, dense_dim: int, sparse_dim: int | None, angle: float | None) -> int:
    """The dimensions that V spans; ValueError where the angle leaves no room for them."""
    if sparse_dim is not None:
        checks.within("sparse_dim", sparse_dim, 1, d)
    if angle is None:
        return sparse_dim or d
    checks.within("angle", angle, 0, 90)
    if n_features == 0 or dense_dim == 0:
        raise ValueError(f"angle={angle} is between two parts, but there is only one; set angle to null")
    room = d - dense_dim if angle > 0 else d
    if room < 1 or (sparse_dim or 1) > room:
        raise ValueError(
            f"angle={angle} needs sparse_dim + dense_dim <= d, but d={d}, dense_dim={dense_dim}, "
            f"sparse_dim={sparse_dim}; lower one of them, or set angle to null or 0"
        )
    return sparse_dim or room
