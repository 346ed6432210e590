"""Statistics of each latent's activations, and which latents to look at."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

SILENT = 1e-6  # below this in size a code counts as zero here
Choice = Literal["top_max_activation", "top_mean_activation", "least_sparse", "most_sparse"]


class Statistics(NamedTuple):
    """Over all rows; std is the population's, sparsity the share of rows with |f| < 1e-6, active the other rows."""

    min: Float[Tensor, " s"]
    max: Float[Tensor, " s"]
    mean: Float[Tensor, " s"]
    std: Float[Tensor, " s"]
    sparsity: Float[Tensor, " s"]
    active: Int[Tensor, " s"]


def statistics(codes: Float[Tensor, "n s"]) -> Statistics:
    active = (codes.abs() >= SILENT).sum(0)
    var, mean = torch.var_mean(codes.double(), dim=0, correction=0)
    low, high = torch.aminmax(codes, dim=0)
    return Statistics(low.double(), high.double(), mean, var.sqrt(), 1 - active / len(codes), active)


def choose(s: Statistics, *, by: Choice, n: int = 10) -> Int[Tensor, " k"]:
    """The n latents to look at, first the most extreme; only those that are ever active, however few."""
    key = {
        "top_max_activation": s.max,
        "top_mean_activation": s.mean,
        "least_sparse": -s.sparsity,
        "most_sparse": s.sparsity,
    }
    if by not in key:
        raise ValueError(f"by={by!r} is unknown: {', '.join(key)}")
    order = key[by].sort(descending=True, stable=True).indices
    return order[s.active[order] > 0][:n]
