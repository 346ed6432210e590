"""Mean and scale of features."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def standardisation(x: Float[Tensor, "n d"], rows: Bool[Tensor, " n"]) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each column over `rows`; 1 for a column that is constant to rounding."""
    means, scales = [], []
    for block in x.split(max(1, 2**24 // len(x)), dim=1):  # double precision, 128 MB at a time
        var, mean = torch.var_mean(block[rows].double(), dim=0, correction=0)
        rounding = torch.finfo(x.dtype).eps * mean.abs()
        means.append(mean)
        scales.append(torch.where(var.sqrt() <= 8 * rounding, 1.0, var.sqrt()))
    return torch.cat(means).to(x.dtype), torch.cat(scales).to(x.dtype)
