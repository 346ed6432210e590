"""What a reconstruction costs in bits: explained variance over the entropy of quantised codes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from saelab.analysis.streams import Parts, explained

BITS = (16, 32, 64)  # a row, at which models are compared
STEPS = tuple(2 ** (-j / 2) for j in range(-4, 13))  # quantiser steps, in standard deviations of an entry of x


class Point(NamedTuple):
    """A step of the quantiser, what codes then cost, and what they explain."""

    step: float
    bits: float
    ev: float


class Quantised(NamedTuple):
    """Whole numbers `[n, s]`, and what a decoder makes of each: the mean of the codes it stands for."""

    symbol: Int[Tensor, "n s"]
    value: Float[Tensor, "n s"]


def quantise(code: Float[Tensor, "n s"], step: float) -> Quantised:
    """symbol = round(code / step), by column."""
    symbol = (code / step).round().long()
    cell, size = cells(symbol)
    count = torch.bincount(cell.flatten(), minlength=size)
    total = torch.bincount(cell.flatten(), weights=code.double().flatten(), minlength=size)
    return Quantised(symbol, (total / count.clamp_min(1))[cell].to(code.dtype))


def entropy(symbol: Int[Tensor, "n s"]) -> float:
    """Σ_i H(symbol_i) in bits a row: what columns cost when each is coded by itself, as well as can be.

    H = −Σ p log2 p + (K − 1) / (2 n ln 2), K the symbols that occur (Miller 1955). That columns tell of each other is
    not made use of.
    """
    if symbol.shape[1] == 0:
        return 0.0
    cell, size = cells(symbol)
    count = torch.bincount(cell.flatten(), minlength=size).double()
    plain = torch.special.entr(count / len(symbol)).sum() / math.log(2)
    extra = int((count > 0).sum()) - symbol.shape[1]
    return plain.item() + extra / (2 * len(symbol) * math.log(2))


def cells(symbol: Int[Tensor, "n s"]) -> tuple[Int[Tensor, "n s"], int]:
    """Columns' symbols as numbers from 0 that no two columns share, and how many there are."""
    if symbol.numel() == 0:
        return symbol, 0
    low, high = symbol.amin(0), symbol.amax(0)
    start = (high - low + 1).cumsum(0)
    return symbol - low + start - (high - low + 1), int(start[-1])


def rate_curve(x: Float[Tensor, "n d"], parts: Parts, steps: Sequence[float] = STEPS) -> list[Point]:
    """Bits a row and EV for ever finer quantisers.

    A sparse code is quantised in the length that it adds to the reconstruction, f_i ‖w_i‖. The dense stream is sent as
    its reconstruction: along the principal axes of `parts.dense`, whatever its own code is, so that a linear and a
    non-linear decoder are charged alike. The step is the same everywhere, in the space of x. Constants are free.
    """
    scale = ((x.double() - x.double().mean(0)).square().mean()).sqrt().item()
    length = parts.atoms.norm(dim=1)
    f, unit = parts.f * length, parts.atoms / length.clamp_min(1e-12)[:, None]
    centred = parts.dense - parts.dense.mean(0)
    axes = torch.linalg.eigh(centred.double().T @ centred.double()).eigenvectors.to(x.dtype)
    along = centred @ axes
    points = []
    for step in steps:
        sparse, dense = quantise(f, step * scale), quantise(along, step * scale)
        ev = explained(x, sparse.value @ unit + dense.value @ axes.T)
        points.append(Point(step, entropy(sparse.symbol) + entropy(dense.symbol), ev))
    return points


def ev_at(points: Sequence[Point], bits: float) -> float:
    """EV at so many bits: on the line between the best points of fewer and of more; 0 at 0, and flat after the last.

    What lies between two points can be had: some rows are sent by the one and some by the other.
    """
    low, ev = 0.0, 0.0
    for point in sorted(points, key=lambda p: p.bits):
        if point.ev <= ev:
            continue
        if point.bits > bits:
            return ev + (point.ev - ev) * (bits - low) / (point.bits - low)
        low, ev = point.bits, point.ev
    return ev
