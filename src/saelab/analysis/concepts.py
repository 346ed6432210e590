"""Which single latent stands for which concept?"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

CHUNK = 2**24  # entries of `codes` ranked at a time: about 1 GB of scratch where every entry is non-zero


def auc(codes: Float[Tensor, "n s"], onehot: Bool[Tensor, "n c"]) -> Float[Tensor, "s c"]:
    """Area under the ROC curve of every latent as a detector of every concept, ties counted one half.

    Mann-Whitney: AUC = (R_c - n_c (n_c + 1) / 2) / (n_c (n - n_c)), R_c the sum over the concept's rows of their
    mid-ranks among all n values of the latent. Zeros are one big tie, so only non-zero codes are sorted. A latent
    that never fires scores 1/2 on everything; a concept that fills all rows or none is nan. Returns float64.
    """
    n = len(codes)
    positive = onehot.double().sum(0)
    step = max(1, CHUNK // max(n, 1))
    ranks = torch.cat([rank_sums(block, onehot.double()) for block in codes.split(step, dim=1)])
    area = (ranks - positive * (positive + 1) / 2) / (positive * (n - positive))
    return torch.where((positive > 0) & (positive < n), area, torch.nan)


def rank_sums(codes: Float[Tensor, "n s"], onehot: Float[Tensor, "n c"]) -> Float[Tensor, "s c"]:
    """Sum of mid-ranks (from 1) of each concept's rows within each latent."""
    latent, row, lift, zero_rank = mid_ranks(codes)
    size = (codes.shape[1], codes.shape[0])
    lifts = torch.sparse_coo_tensor(torch.stack([latent, row]), lift, size, check_invariants=False).coalesce()
    return lifts @ onehot + zero_rank[:, None] * onehot.sum(0)


class MidRanks(NamedTuple):
    """Mid-ranks (from 1) of values within each latent: that of its zeros, and by how much non-zero ones are above."""

    latent: Int[Tensor, " m"]
    row: Int[Tensor, " m"]
    lift: Float[Tensor, " m"]
    zero_rank: Float[Tensor, " s"]


def mid_ranks(codes: Float[Tensor, "n s"]) -> MidRanks:
    n, s = codes.shape
    latent, row = codes.T.nonzero(as_tuple=True)
    value = codes[row, latent]
    order = value.argsort(stable=True)
    order = order[latent[order].argsort(stable=True)]  # by latent, then by value
    latent, row, value = latent[order], row[order], value[order]

    position = torch.arange(len(value), device=codes.device)
    count = torch.bincount(latent, minlength=s)
    below = torch.bincount(latent[value < 0], minlength=s)
    zeros = n - count

    # Of each run of equal values in a latent: its number, its first position and its length.
    new = torch.ones_like(latent, dtype=torch.bool)
    new[1:] = (latent[1:] != latent[:-1]) | (value[1:] != value[:-1])
    run = new.cumsum(0) - 1
    length = torch.bincount(run)
    middle = position[new].double() + (length.double() + 1) / 2
    rank = middle[run] - (count.cumsum(0) - count)[latent] + torch.where(value > 0, zeros[latent], 0)
    zero_rank = below + (zeros.double() + 1) / 2
    return MidRanks(latent, row, rank - zero_rank[latent], zero_rank)


class Univariate(NamedTuple):
    """AUC of every latent for every concept.

    train: `[s, c]` on the training half, at least 1/2: the orientation (more or less active on the concept) is free.
    test: `[s, c]` on the held-out half with the training half's orientation; it may fall below 1/2.
    sign: `[s, c]` the orientation, +1 or -1.  alive: `[s]` the latent fires on the training half.
    density: `[s]` how often it fires on all rows.
    """

    train: Float[Tensor, "s c"]
    test: Float[Tensor, "s c"]
    sign: Int[Tensor, "s c"]
    alive: Bool[Tensor, " s"]
    density: Float[Tensor, " s"]


def univariate(codes: Float[Tensor, "n s"], onehot: Bool[Tensor, "n c"], *, train: Bool[Tensor, " n"]) -> Univariate:
    """Score every latent alone, oriented on the rows in `train` and tested on the others."""
    fitted = auc(codes[train], onehot[train])
    held_out = auc(codes[~train], onehot[~train])
    sign = torch.where(fitted >= 0.5, 1, -1)
    return Univariate(
        train=torch.maximum(fitted, 1 - fitted),
        test=torch.where(sign > 0, held_out, 1 - held_out),
        sign=sign,
        alive=(codes[train] != 0).any(0),
        density=(codes != 0).double().mean(0),
    )


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


def selectivity(scores: Univariate, *, selective: float = 0.85, pure: float = 0.95) -> dict[str, float]:
    """How concepts share out the living latents, from held-out AUCs.

    coverage: concepts that are some latent's best. recovered: concepts with a pure latent, one that exceeds `pure`
    for exactly one concept. entropy: of the best concepts' counts, in nats. Fractions are of all latents.
    """
    test = scores.test[scores.alive].nan_to_num(nan=0.5)
    if not len(test):
        names = ("selective", "mean_best_auc", "coverage", "redundancy", "recovered", "pure", "entropy")
        return dict.fromkeys(names, 0.0)
    best, concept = test.max(1)
    count = torch.bincount(concept, minlength=test.shape[1])
    share = count[count > 0] / count.sum()
    is_pure = (test > pure).sum(1) == 1
    return {
        "selective": float((best > selective).sum() / len(scores.alive)),
        "mean_best_auc": float(best.mean()),
        "coverage": float((count > 0).sum()),
        "redundancy": float(count.max()),
        "recovered": float(concept[is_pure].unique().numel()),
        "pure": float(is_pure.sum()),
        "entropy": float(-(share * share.log()).sum()),
    }
