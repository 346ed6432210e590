"""Mid-ranks of the values of many latents at once, of which only the non-zero ones are sorted."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


class Order(NamedTuple):
    """The m non-zero values sorted by latent and then by value; equal values of a latent share a run."""

    latent: Int[Tensor, " m"]
    row: Int[Tensor, " m"]
    run: Int[Tensor, " m"]  # numbered from 0 through all latents
    positive: Bool[Tensor, " m"]
    shape: tuple[int, int]  # rows, latents


def order(codes: Float[Tensor, "n s"]) -> Order:
    """Sort the non-zero codes, by integers that hold latent, value and row: one sort, of what is sorted fastest."""
    n, s = codes.shape
    bits = max(1, (n - 1).bit_length())
    if (s - 1).bit_length() + 32 + bits > 63:
        raise ValueError(f"{n} rows of {s} latents are too many for one sort: give fewer latents at a time")
    place = codes.reshape(-1).nonzero()[:, 0]
    row = place.div(s, rounding_mode="floor")
    key = ((place - row * s) << 32) + (ordinal(codes.reshape(-1)[place]) + 2**31)
    key = sort((key << bits) + row)
    value = key >> bits
    new = torch.ones_like(value, dtype=torch.bool)
    torch.ne(value[1:], value[:-1], out=new[1:])
    latent, row = value >> 32, key & (2**bits - 1)
    return Order(latent, row, new.cumsum(0) - 1, (value & (2**32 - 1)) > 2**31, (n, s))


def ordinal(value: Float[Tensor, " m"]) -> Int[Tensor, " m"]:
    """Integers of 32 bits in the order of the values, 0 for 0, equal where they are."""
    if value.dtype == torch.float64:
        _, rank = torch.cat([value, value.new_zeros(1)]).unique(return_inverse=True)
        return rank[:-1] - rank[-1]
    bits = value.float().contiguous().view(torch.int32)
    return (bits ^ ((bits >> 31) & 0x7FFFFFFF)).long()


def sort(key: Int[Tensor, " m"]) -> Int[Tensor, " m"]:
    """Ascending; on a CPU by numpy, whose sort of integers is the faster one by several times."""
    if key.device.type != "cpu":
        return key.sort().values
    key.numpy().sort()
    return key


class MidRanks(NamedTuple):
    """The weight below a value in its latent and half of that equal to it: with weights 1, the mid-rank less 1/2.

    zero: of the zeros of each latent.  lift: by how much each value in the `Order` is above.
    """

    lift: Float[Tensor, " m"]
    zero: Float[Tensor, " s"]


def mid_ranks(o: Order, weight: Float[Tensor, " n"] | None = None) -> MidRanks:
    """Mid-ranks of rows that count `weight` times, as in a resample; once by default. In float64."""
    n, s = o.shape
    if weight is None:
        w, total = torch.ones(len(o.row), dtype=torch.float64, device=o.row.device), float(n)
    else:
        w, total = weight.double()[o.row], weight.double().sum()
    start = torch.searchsorted(o.latent, torch.arange(s + 1, device=o.latent.device))  # of each latent
    through = torch.cat([w.new_zeros(1), w.cumsum(0)])
    weight_of = through[start[1:]] - through[start[:-1]]
    negative = w.new_zeros(s).index_add_(0, o.latent[~o.positive], w[~o.positive])
    zeros = total - weight_of

    last = torch.ones_like(o.positive)
    torch.ne(o.run[1:], o.run[:-1], out=last[:-1])
    end = through[1:][last]
    middle = (torch.cat([end.new_zeros(1), end[:-1]]) + end) / 2
    zero = negative + zeros / 2
    shift = through[start[:-1]] + zero
    lift = middle[o.run] - shift[o.latent] + torch.where(o.positive, zeros[o.latent], 0)
    return MidRanks(lift, zero)


def rank_sums(o: Order, onehot: Bool[Tensor, "n c"], weight: Float[Tensor, " n"] | None = None) -> Float[Tensor, "s c"]:
    """Sum of each concept's rows' mid-ranks, less 1/2 each, within each latent; rows count `weight` times."""
    lift, zero = mid_ranks(o, weight)
    counted = onehot.double() if weight is None else onehot * weight.double()[:, None]
    # Sorted by latent, which is all that the product asks of what is said to be coalesced.
    index, size = torch.stack([o.latent, o.row]), (o.shape[1], o.shape[0])
    lifts = torch.sparse_coo_tensor(index, lift, size, is_coalesced=True, check_invariants=False)
    return lifts @ counted + zero[:, None] * counted.sum(0)
