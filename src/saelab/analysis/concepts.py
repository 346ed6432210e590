"""Which single latent stands for which concept?"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from saelab.analysis.midranks import order, rank_sums

CHUNK = 2**24  # entries of `codes` ranked at a time: about 1 GB of scratch where every entry is non-zero
Orientation = Literal["rank", "mean"]


def auc(codes: Float[Tensor, "n s"], onehot: Bool[Tensor, "n c"]) -> Float[Tensor, "s c"]:
    """Area under the ROC curve of every latent as a detector of every concept, ties counted one half.

    Mann-Whitney: AUC = (R_c - n_c (n_c + 1) / 2) / (n_c (n - n_c)), R_c the sum over the concept's rows of their
    mid-ranks among all n values of the latent. Concepts may overlap. Zeros are one big tie, so only non-zero codes are
    sorted. A latent that never fires scores 1/2 on everything; one with a nan, and a concept that fills all rows or
    none, is nan. Returns float64.
    """
    step = max(1, CHUNK // max(len(codes), 1))
    sums = torch.cat([rank_sums(order(block), onehot) for block in codes.split(step, dim=1)])
    return areas(sums, onehot.double().sum(0), len(codes)).masked_fill(codes.isnan().any(0)[:, None], torch.nan)


def areas(
    sums: Float[Tensor, "s c"], positive: Float[Tensor, " c"], total: float | Float[Tensor, ""]
) -> Float[Tensor, "s c"]:
    """AUC from the sums of mid-ranks less 1/2; nan for a concept that fills all rows or none."""
    area = (sums - positive.square() / 2) / (positive * (total - positive))
    return torch.where((positive > 0) & (positive < total), area, torch.nan)


class Univariate(NamedTuple):
    """AUC of every latent for every concept.

    train: `[s, c]` on the training half.  test: `[s, c]` on the held-out half.  Both with the orientation chosen on the
    training half, so that test may fall below 1/2.
    sign: `[s, c]` the orientation: +1 more, -1 less active on the concept.  alive: `[s]` the latent fires on the
    training half.  density: `[s]` how often it fires on all rows.
    """

    train: Float[Tensor, "s c"]
    test: Float[Tensor, "s c"]
    sign: Int[Tensor, "s c"]
    alive: Bool[Tensor, " s"]
    density: Float[Tensor, " s"]


def univariate(
    codes: Float[Tensor, "n s"], onehot: Bool[Tensor, "n c"], *, train: Bool[Tensor, " n"], by: Orientation = "rank"
) -> Univariate:
    """Score every latent alone, oriented on the rows in `train` and tested on the others.

    by: `rank` orients so that the training AUC is at least 1/2; `mean` by the sign of E[f | c] - E[f | not c], which
    is that of the slope of a logistic regression on the one feature: its AUC, without fitting it.
    """
    kept, held_out = codes[train], codes[~train]
    fitted, scored = auc(kept, onehot[train]), auc(held_out, onehot[~train])
    up = fitted >= 0.5 if by == "rank" else mean_difference(kept, onehot[train]) >= 0
    fired = (kept != 0).sum(0)
    return Univariate(
        train=torch.where(up, fitted, 1 - fitted),
        test=torch.where(up, scored, 1 - scored),
        sign=torch.where(up, 1, -1),
        alive=fired > 0,
        density=(fired + (held_out != 0).sum(0)).double() / len(codes),
    )


def mean_difference(codes: Float[Tensor, "n s"], onehot: Bool[Tensor, "n c"]) -> Float[Tensor, "s c"]:
    """E[f | concept] - E[f | not the concept]; nan for a concept that fills all rows or none. In float64."""
    f, y = codes.double(), onehot.double()
    inside, positive = f.T @ y, y.sum(0)
    return inside / positive - (f.sum(0)[:, None] - inside) / (len(codes) - positive)


class Best(NamedTuple):
    """The best latent of each concept `[c]`, chosen on the training half; latent -1 and nan where none is alive."""

    latent: Int[Tensor, " c"]
    auc: Float[Tensor, " c"]
    auc_train: Float[Tensor, " c"]
    sign: Int[Tensor, " c"]
    density: Float[Tensor, " c"]


def best_latents(scores: Univariate, *, positive_only: bool = False) -> Best:
    """For each concept the living latent with the highest training AUC; its held-out AUC is the honest number.

    positive_only: consider only latents that are more active on the concept, whose top examples show it.
    """
    train = scores.train.masked_fill(~scores.alive[:, None], -torch.inf).nan_to_num(nan=-torch.inf, neginf=-torch.inf)
    if positive_only:
        train = train.masked_fill(scores.sign < 0, -torch.inf)
    value, latent = train.max(0)
    column = torch.arange(len(value), device=value.device)
    found = value > -torch.inf
    return Best(
        latent=torch.where(found, latent, -1),
        auc=torch.where(found, scores.test[latent, column], torch.nan),
        auc_train=torch.where(found, value, torch.nan),
        sign=torch.where(found, scores.sign[latent, column], 0),
        density=torch.where(found, scores.density[latent], torch.nan),
    )
