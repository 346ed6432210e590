"""Concept paths: the latents that are strongly active on a row, and which of them a concept's rows share."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

Rule = Literal["top_k", "percentile", "std", "absolute"]


def concept_paths(
    codes: Float[Tensor, "n s"], *, rule: Rule = "top_k", value: float = 10, min_act: float = 1e-5
) -> Bool[Tensor, "n s"]:
    """The path of each row: those of its valid latents, {i: f_i >= min_act}, that are strong by the rule.

    top_k: the `value` largest, the first of equal ones.  percentile: f_i >= the `value`-th percentile of the valid,
    linear between them.  std: f_i >= mean + `value` population standard deviations of the valid.
    absolute: f_i >= `value`.  A row without a valid latent has an empty path.
    """
    if rule == "top_k" and value < 1:
        raise ValueError(f"value={value} latents make no path: at least 1")
    if min_act <= 0:
        raise ValueError(f"min_act={min_act} must be positive: a latent that does not fire is on no path")
    valid = codes >= min_act
    if rule == "top_k":
        f, k = codes.masked_fill(~valid, -torch.inf), min(int(value), codes.shape[1])
        least = f.topk(k, dim=1).values[:, -1:]
        above, equal = f > least, f == least
        strong = above | (equal & (equal.cumsum(1) <= k - above.sum(1, keepdim=True)))
    elif rule == "percentile":
        strong = codes.double() >= percentiles(codes, valid, value)[:, None]
    elif rule == "std":
        f, n = (codes * valid).double(), valid.sum(1)
        mean = f.sum(1) / n
        var = (f - mean[:, None]).square().where(valid, 0.0).sum(1) / n
        strong = codes.double() >= (mean + value * var.sqrt())[:, None]
    elif rule == "absolute":
        strong = codes >= value
    else:
        raise ValueError(f"rule={rule!r} is unknown: top_k, percentile, std or absolute")
    return strong & valid


def percentiles(codes: Float[Tensor, "n s"], valid: Bool[Tensor, "n s"], percent: float) -> Float[Tensor, " n"]:
    """The `percent`-th percentile of each row's valid codes, linear between neighbours; inf for a row without any."""
    if not 0 <= percent <= 100:
        raise ValueError(f"value={percent} is a percentile: between 0 and 100")
    ascending = codes.double().masked_fill(~valid, torch.inf).sort(dim=1).values
    place = (valid.sum(1).clamp(min=1) - 1) * (percent / 100)
    low, high = ascending.gather(1, torch.stack([place.floor(), place.ceil()], 1).long()).unbind(1)
    return torch.where(low == high, low, low + (high - low) * (place - place.floor()))


class PathSummary(NamedTuple):
    """Of some rows' paths: how many latents they have and with what summed activation, and which are used at all."""

    rows: int
    mean: float
    std: float
    median: float
    min: float
    max: float
    mean_activation: float
    used: Bool[Tensor, " s"]
    frequent: Int[Tensor, " k"]  # the ten latents on most paths, most frequent first


def path_summary(
    paths: Bool[Tensor, "n s"], codes: Float[Tensor, "n s"], rows: Bool[Tensor, " n"] | None = None
) -> PathSummary:
    """Sizes of the paths of all rows, or of those in `rows` (one class); empty paths count with size 0."""
    if rows is not None:
        paths, codes = paths[rows], codes[rows]
    if not len(paths):
        raise ValueError("no rows: there are no paths to sum up")
    size, count = paths.sum(1).double(), paths.sum(0)
    frequent = count.sort(descending=True, stable=True).indices[:10]
    return PathSummary(
        rows=len(paths),
        mean=float(size.mean()),
        std=float(size.std(correction=0)),
        median=float(size.quantile(0.5)),
        min=float(size.min()),
        max=float(size.max()),
        mean_activation=float((codes * paths).double().sum(1).mean()),
        used=count > 0,
        frequent=frequent[count[frequent] > 0],
    )


def usage(paths: Bool[Tensor, "n s"], onehot: Bool[Tensor, "n c"]) -> Float[Tensor, "c s"]:
    """H[c, i]: the share of a concept's rows on whose path latent i is; nan for a concept without rows."""
    return onehot.double().T @ paths.double() / onehot.sum(0)[:, None]
