"""Intervals of single-latent scores: the latents are sorted once, each resample of rows only weighs them anew."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from saelab.analysis.concepts import CHUNK, Best, Univariate, areas
from saelab.analysis.intervals import LEVEL, TIMES, Interval, percentile, resamples
from saelab.analysis.midranks import order, rank_sums
from saelab.analysis.selectivity import PURE, SELECTIVE, selectivity


def auc_resampled(
    codes: Float[Tensor, "n s"], onehot: Bool[Tensor, "n c"], weights: Int[Tensor, "r n"]
) -> Float[Tensor, "r s c"]:
    """`concepts.auc` of every resample, in which row i counts `weights[:, i]` times."""
    step = max(1, CHUNK // max(len(codes), 1))
    total = weights.sum(1).double()
    positive = weights.double() @ onehot.double()
    parts = []
    for block in codes.split(step, dim=1):
        o = order(block)
        found = [
            areas(rank_sums(o, onehot, w), p, t) for w, p, t in zip(weights.double(), positive, total, strict=True)
        ]
        parts.append(torch.stack(found).masked_fill(block.isnan().any(0)[:, None], torch.nan))
    return torch.cat(parts, dim=1)


def best_intervals(
    best: Best,
    codes: Float[Tensor, "n s"],
    onehot: Bool[Tensor, "n c"],
    *,
    train: Bool[Tensor, " n"],
    times: int = TIMES,
    seed: int = 0,
    level: float = LEVEL,
    groups: Int[Tensor, " n"] | None = None,
) -> Interval:
    """An interval for the held-out AUC of each concept's best latent `[c]`, which stays the same; nan where none lives.

    `best` is `best_latents` of the same codes and rows.
    """
    held_out = ~train
    weights = resamples(
        int(held_out.sum()), times=times, seed=seed, groups=None if groups is None else groups[held_out]
    )
    area = auc_resampled(codes[held_out][:, best.latent.clamp(min=0)], onehot[held_out], weights.to(codes.device))
    own = area.diagonal(dim1=1, dim2=2)
    oriented = torch.where(best.sign > 0, own, 1 - own).masked_fill(best.latent < 0, torch.nan)
    return percentile(best.auc, oriented, level=level)


def selectivity_intervals(
    scores: Univariate,
    codes: Float[Tensor, "n s"],
    onehot: Bool[Tensor, "n c"],
    *,
    train: Bool[Tensor, " n"],
    selective: float = SELECTIVE,
    pure: float = PURE,
    times: int = 200,
    seed: int = 0,
    level: float = LEVEL,
    groups: Int[Tensor, " n"] | None = None,
) -> dict[str, Interval]:
    """An interval for each of `selectivity`'s numbers: the held-out rows are drawn again, orientations stay as fitted.

    Counts of what exceeds a threshold are biased upwards in resamples, as the noisier of two AUCs exceeds it oftener,
    so the value may lie off the middle of its interval. `scores` is `univariate` of the same codes and rows.
    """
    held_out = ~train
    weights = resamples(
        int(held_out.sum()), times=times, seed=seed, groups=None if groups is None else groups[held_out]
    )
    keep = scores.alive
    raw = auc_resampled(codes[held_out][:, keep], onehot[held_out], weights.to(codes.device))
    sign = scores.sign[keep]
    table = []
    for area in raw:
        test = torch.full_like(scores.test, torch.nan)
        test[keep] = torch.where(sign > 0, area, 1 - area)
        table.append(selectivity(scores._replace(test=test), selective=selective, pure=pure))
    value = selectivity(scores, selective=selective, pure=pure)
    columns = {name: torch.tensor([row[name] for row in table], dtype=torch.float64) for name in value}
    return {
        name: percentile(torch.tensor(value[name], dtype=torch.float64), columns[name], level=level) for name in value
    }
