"""Every latent as a detector of every class of every label family, and what follows: which concepts are recovered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from saelab.analysis.concepts import Univariate, best_latents, univariate
from saelab.analysis.overlaps import concept_overlaps, mean_over_pairs
from saelab.analysis.paths import concept_paths
from saelab.analysis.resampled import best_intervals
from saelab.analysis.selectivity import PURE, SELECTIVE, assign, detected, recovered, selectivity

HEADLINES = ("recovered", "detected", "coverage", "selective", "mean_best_auc", "redundancy", "entropy")


class Scored(NamedTuple):
    """A label family's classes, the codes of the rows that bear one of them, and the scores of all latents.

    train: the half of these rows on which latents are oriented and chosen; the others are held out.
    groups: rows with equal numbers (tokens of one image) are on one side; None: each row is a group of its own.
    """

    classes: tuple[str, ...]
    codes: Float[Tensor, "n s"]
    onehot: Bool[Tensor, "n c"]
    train: Bool[Tensor, " n"]
    groups: Int[Tensor, " n"] | None
    scores: Univariate


def score_families(
    *,
    codes: Float[Tensor, "n s"],
    labels: Mapping[str, Tensor],
    classes: Mapping[str, tuple[str, ...]],
    seed: int = 0,
    groups: Int[Tensor, " n"] | None = None,
) -> dict[str, Scored]:
    """Score all latents for every family in `classes`; a label below 0 is none.

    All families share one random half of the rows, so that a latent is alive, or is not, for all of them: it is where
    it fires on that half. Densities are over all rows.
    """
    half = random_half(len(codes), seed, groups)
    fired = codes != 0
    alive, density = fired[half.to(codes.device)].any(0), fired.double().mean(0)
    found = {}
    for family, names in classes.items():
        there = labels[family] >= 0
        rows = slice(None) if bool(there.all()) else there  # all of them need no copy
        f, y, train = codes[rows], labels[family][rows].long(), half[rows].to(codes.device)
        onehot = F.one_hot(y, len(names)).bool().to(codes.device)
        scores = univariate(f, onehot, train=train)._replace(alive=alive, density=density)
        found[family] = Scored(names, f, onehot, train, None if groups is None else groups[rows], scores)
    return found


def random_half(n: int, seed: int, groups: Int[Tensor, " n"] | None = None) -> Bool[Tensor, " n"]:
    """A mask of n // 2 rows, or of the rows of half of the groups; the same for the same seed."""
    if groups is not None:
        number, member = groups.unique(return_inverse=True)
        return random_half(len(number), seed)[member]
    mask = torch.zeros(n, dtype=torch.bool)
    mask[torch.randperm(n, generator=torch.Generator().manual_seed(seed))[: n // 2]] = True
    return mask


def score_arrays(scored: Mapping[str, Scored]) -> dict[str, Any]:
    """`alive`, `density` `[s]`; per family F its AUCs `F/train`, `F/test` and `F/sign` `[s, c]`, names `F/classes`."""
    arrays: dict[str, Any] = {}
    for family, s in scored.items():
        arrays |= {"alive": s.scores.alive, "density": s.scores.density}
        arrays |= {f"{family}/train": s.scores.train, f"{family}/test": s.scores.test}
        arrays |= {f"{family}/sign": s.scores.sign.to(torch.int8), f"{family}/classes": s.classes}
    return arrays


def recovery_rows(
    scored: Mapping[str, Scored], *, selective: float = SELECTIVE, pure: float = PURE, resamples: int = 0
) -> list[dict[str, Any]]:
    """Per concept: is it recovered (by a pure latent), detected (by a selective one), and how well can a latent do?

    best_auc: held-out AUC of the latent that is best on the training half, whichever its orientation; best_auc_low and
    best_auc_high, with `resamples`: 95 % bootstrap over held-out rows.  mean_auc: mean held-out AUC of living latents.
    """
    table = []
    for family, s in scored.items():
        a, best, c = assign(s.scores, selective=selective, pure=pure), best_latents(s.scores), len(s.classes)
        columns = {"recovered": recovered(a, c), "detected": detected(a, c), "best_auc": best.auc}
        if resamples:
            interval = best_intervals(best, s.codes, s.onehot, train=s.train, times=resamples, groups=s.groups)
            columns |= {"best_auc_low": interval.low, "best_auc_high": interval.high}
        columns["mean_auc"] = s.scores.test[s.scores.alive].mean(0)
        for i, concept in enumerate(s.classes):
            values = {name: column[i].item() for name, column in columns.items()}
            flags = {name: int(values[name]) for name in ("recovered", "detected")}
            table.append({"family": family, "concept": concept} | values | flags)
    return table


def concept_metrics(
    scored: Mapping[str, Scored], *, selective: float = SELECTIVE, pure: float = PURE
) -> dict[str, float]:
    """`<family>/<name>` for the headline numbers of `selectivity`, and the share of latents that are `dead`."""
    metrics = {}
    for family, s in scored.items():
        found = selectivity(s.scores, selective=selective, pure=pure)
        metrics |= {f"{family}/{name}": found[name] for name in HEADLINES} | {"dead": found["dead"]}
    return metrics


def shared_latents(scored: Mapping[str, Scored], *, top_k: int = 10) -> float:
    """How many latents the concept paths (the `top_k` largest codes of each row) of two classes share.

    Mean over the pairs of classes of a family, and over families.
    """
    means = [
        mean_over_pairs(concept_overlaps(concept_paths(s.codes, rule="top_k", value=top_k), s.onehot).shared)
        for s in scored.values()
    ]
    return sum(means) / len(means) if means else float("nan")
