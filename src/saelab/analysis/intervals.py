"""Confidence intervals by resampling: rows, seeds, or both.

The bootstrap of Efron (1979) with percentile intervals: how far a number moves when what it was measured on is drawn
again with replacement. Rows tell how sure a number is of one SAE, seeds how sure it is of a method.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from scipy.stats import t as student
from torch import Tensor

LEVEL, TIMES = 0.95, 1000


class Interval(NamedTuple):
    """A number on the whole sample, and the ends of its interval."""

    value: Tensor
    low: Tensor
    high: Tensor


def resamples(
    n: int, *, times: int = TIMES, seed: int = 0, groups: Int[Tensor, " n"] | None = None
) -> Int[Tensor, "r n"]:
    """How often each of n rows is drawn in each resample; rows of a group (one image's tokens) are drawn together."""
    g = torch.Generator().manual_seed(seed)
    if groups is not None:
        _, member = groups.cpu().unique(return_inverse=True)
        return resamples(int(member.max()) + 1, times=times, seed=seed)[:, member]
    drawn = torch.randint(n, (times, n), generator=g)
    return torch.zeros(times, n, dtype=torch.long).scatter_add_(1, drawn, torch.ones_like(drawn))


def percentile(value: Tensor, replicates: Float[Tensor, "r ..."], *, level: float = LEVEL) -> Interval:
    """The middle `level` of the replicates; those that are nan (a resample without a concept's rows) do not count."""
    if not 0 < level < 1:
        raise ValueError(f"level={level} is the share of resamples inside the interval: between 0 and 1")
    tail = torch.tensor([(1 - level) / 2, (1 + level) / 2], dtype=replicates.dtype, device=replicates.device)
    low, high = replicates.nanquantile(tail, dim=0)
    return Interval(value, low, high)


def bootstrap(
    statistic: Callable[[Int[Tensor, " n"]], Tensor],
    n: int,
    *,
    times: int = TIMES,
    seed: int = 0,
    level: float = LEVEL,
    groups: Int[Tensor, " n"] | None = None,
) -> Interval:
    """Any number, or numbers, of n rows: `statistic` is asked of their indices, all of them and then each resample's.

    For single-latent AUCs `resampled` is many times faster.
    """
    rows = torch.arange(n)
    drawn = resamples(n, times=times, seed=seed, groups=groups)
    replicates = torch.stack([statistic(rows.repeat_interleave(count)) for count in drawn])
    return percentile(statistic(rows), replicates, level=level)


def over_seeds(values: Float[Tensor, "k ..."], *, times: int = TIMES, seed: int = 0, level: float = LEVEL) -> Interval:
    """Mean over k seeds, and its interval by drawing seeds again.

    The bootstrap of few values is too narrow, by sqrt((k - 1) / k) in spread alone: see `student_t`.
    """
    drawn = torch.randint(len(values), (times, len(values)), generator=torch.Generator().manual_seed(seed))
    return percentile(values.mean(0), values[drawn].mean(1), level=level)


def over_seeds_and_rows(
    values: Float[Tensor, "k ..."],
    replicates: Float[Tensor, "k r ..."],
    *,
    times: int = TIMES,
    seed: int = 0,
    level: float = LEVEL,
) -> Interval:
    """Mean over k seeds, and its interval by drawing seeds again and for each one of its resamples of rows."""
    g = torch.Generator().manual_seed(seed)
    k, r = replicates.shape[:2]
    drawn, inner = torch.randint(k, (times, k), generator=g), torch.randint(r, (times, k), generator=g)
    return percentile(values.mean(0), replicates[drawn, inner].mean(1), level=level)


def student_t(values: Float[Tensor, "k ..."], *, level: float = LEVEL) -> Interval:
    """Mean ± t_{k-1} s / sqrt(k): right for normal values however few; needs two."""
    if len(values) < 2:
        raise ValueError(f"{len(values)} value has no spread: an interval over seeds needs at least 2")
    half = student.ppf((1 + level) / 2, len(values) - 1) * values.std(0) / len(values) ** 0.5
    return Interval(values.mean(0), values.mean(0) - half, values.mean(0) + half)


def paired(
    a: Float[Tensor, "k ..."], b: Float[Tensor, "k ..."], *, times: int = TIMES, seed: int = 0, level: float = LEVEL
) -> Interval:
    """Mean of a - b over pairs that share a seed, a dataset or a row, and its interval by drawing pairs again."""
    if a.shape != b.shape:
        raise ValueError(f"pairs have equal shapes, not {tuple(a.shape)} and {tuple(b.shape)}")
    return over_seeds(a - b, times=times, seed=seed, level=level)
