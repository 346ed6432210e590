"""How concepts share out the latents: which are selective, which are pure, which concepts are recovered."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from saelab.analysis.concepts import Univariate

SELECTIVE, PURE = 0.85, 0.95  # held-out AUC above which a latent stands for a concept, and for one alone


class Assignment(NamedTuple):
    """Of each latent: the concept with its highest held-out AUC, that AUC, and the highest on the training half.

    Dead latents, and those for which no AUC is defined, have concept -1 and AUC nan.
    selective: the best AUC exceeds a threshold.  pure: exactly one concept's AUC exceeds a higher one.
    """

    concept: Int[Tensor, " s"]
    auc: Float[Tensor, " s"]
    auc_train: Float[Tensor, " s"]
    selective: Bool[Tensor, " s"]
    pure: Bool[Tensor, " s"]


def assign(scores: Univariate, *, selective: float = SELECTIVE, pure: float = PURE) -> Assignment:
    """Give each living latent to its best concept."""
    test = scores.test.masked_fill(~scores.alive[:, None] | scores.test.isnan(), -torch.inf)
    train = scores.train.masked_fill(scores.train.isnan(), -torch.inf)
    best, concept = test.max(1)
    scored = best > -torch.inf
    return Assignment(
        concept=torch.where(scored, concept, -1),
        auc=torch.where(scored, best, torch.nan),
        auc_train=torch.where(scored, train.amax(1), torch.nan),
        selective=best > selective,
        pure=(test > pure).sum(1) == 1,
    )


def dead(scores: Univariate) -> Int[Tensor, " d"]:
    """The latents that never fire on the training half, by number; they are scored nowhere."""
    return (~scores.alive).nonzero()[:, 0]


def recovered(a: Assignment, concepts: int) -> Bool[Tensor, " c"]:
    """The concepts that some pure latent stands for; the others are discarded."""
    return torch.zeros(concepts, dtype=torch.bool, device=a.pure.device).index_fill(0, a.concept[a.pure], True)


def detected(a: Assignment, concepts: int) -> Bool[Tensor, " c"]:
    """The concepts that some selective latent stands for, be it pure or not."""
    return torch.zeros(concepts, dtype=torch.bool, device=a.pure.device).index_fill(0, a.concept[a.selective], True)


def selectivity(scores: Univariate, *, selective: float = SELECTIVE, pure: float = PURE) -> dict[str, float]:
    """The headline numbers; means are over living latents and nan if there are none.

    dead: share of all latents.  selective: share of all latents with a best AUC above `selective`.
    mean_best_auc, mean_best_auc_train: of the best concept's AUC, held-out and training; overfitting: their difference.
    top10_auc: mean held-out AUC of the ten best latents.  coverage: concepts that are some latent's best.
    redundancy: latents of the concept that has most.  entropy: of the best concepts' counts, in nats.
    pure: latents above `pure` for exactly one concept.  recovered, detected: concepts; see the functions.
    """
    c = scores.test.shape[1]
    a = assign(scores, selective=selective, pure=pure)
    scored = a.concept >= 0
    count = torch.bincount(a.concept[scored], minlength=c).double()
    best, fitted = a.auc[scored].double(), a.auc_train[scored].double()
    return {
        "dead": float((~scores.alive).double().mean()),
        "selective": float(a.selective.double().mean()),
        "mean_best_auc": float(best.mean()),
        "mean_best_auc_train": float(fitted.mean()),
        "overfitting": float((fitted - best).mean()),
        "top10_auc": float(best.topk(min(10, len(best))).values.mean()),
        "coverage": float((count > 0).sum()),
        "redundancy": float(count.max()),
        "entropy": float(torch.special.entr(count / count.sum().clamp(min=1)).sum()),
        "pure": float(a.pure.sum()),
        "recovered": float(recovered(a, c).sum()),
        "detected": float(detected(a, c).sum()),
    }
