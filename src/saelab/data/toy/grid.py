"""Sums that are the same to the bit in any batch, in any order, on any number of threads.

Both factors of every product lie on a grid of 2^-21, so products lie on one of 2^-42, and float64 adds them without
rounding while the sum of their magnitudes stays below 2^11 = 2048. Rounding to float32 comes once, at the end.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

STEP = 2.0**-21


def to_grid(x: Tensor) -> Tensor:
    """The nearest multiples of STEP, in the dtype of `x`; below 8 they are float32 numbers."""
    return (x / STEP).round_().mul_(STEP)


def product(a: Tensor, b: Tensor) -> Tensor:
    """a @ b, `[n, m] @ [m, d]`, of numbers on the grid: float64, exact."""
    return a.double() @ b.double()


def sparse_product(a: Tensor, b: Tensor) -> Tensor:
    """`product` at the cost of a's non-zero entries alone."""
    row, column = a.nonzero(as_tuple=True)
    start = torch.searchsorted(row, torch.arange(len(a), device=a.device))
    return embedding_bag(column, b.double(), start, mode="sum", per_sample_weights=a[row, column].double())


def unit(x: Tensor) -> Tensor:
    """x / ‖x‖ along the last dimension, for x on the grid; on the grid again. The squares add up without rounding."""
    return to_grid(x.double() / x.double().square().sum(-1, keepdim=True).sqrt().clamp_min(STEP)).to(x.dtype)
