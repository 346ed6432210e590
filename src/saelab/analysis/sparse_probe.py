"""How few latents does it take to tell a concept? Sparse probing, after Gurnee et al. 2023 (arXiv 2305.01610)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from saelab.analysis.concepts import auc, mean_difference
from saelab.analysis.logistic import logistic_regressions

SIZES = (1, 2, 5, 10)


class SparseProbes(NamedTuple):
    """Held-out scores of the probe on the k best latents of each concept, k along the first axis.

    latents: `[c, k_max]`, best first, -1 where no more latents live.  A concept that fills all training rows or none
    has nan scores; precision and recall that divide by zero count as 0 in F1.
    """

    latents: Int[Tensor, "c k"]
    auc: Float[Tensor, "sizes c"]
    accuracy: Float[Tensor, "sizes c"]
    f1: Float[Tensor, "sizes c"]


def sparse_probes(
    codes: Float[Tensor, "n s"],
    onehot: Bool[Tensor, "n c"],
    *,
    train: Bool[Tensor, " n"],
    score: Float[Tensor, "s c"] | None = None,
    sizes: tuple[int, ...] = SIZES,
    c: float = 1.0,
) -> SparseProbes:
    """Logistic regressions on each concept's best latents, chosen and fitted on `train`, tested on the other rows.

    score: larger is better; by default |E[f | c] - E[f | not c]| on the training rows, which Gurnee et al. found as
    good as slower choices. Latents that never fire there are not chosen. Latents are standardised over the training
    rows; the fit is scikit-learn's LogisticRegression(C=c), and a concept is predicted above probability 1/2.
    """
    if score is None:
        score = mean_difference(codes[train], onehot[train]).abs()
    positive = onehot[train].sum(0)
    known = (positive > 0) & (positive < int(train.sum()))
    alive = (codes[train] != 0).any(0) & ~codes.isnan().any(0)
    ranked = score.masked_fill(~alive[:, None] | score.isnan(), -torch.inf).T
    k = min(max(sizes), codes.shape[1])
    value, latents = ranked.topk(k, dim=1)
    scale, mean = torch.std_mean(codes[train].double(), dim=0, correction=0)
    f = codes.double().sub(mean).div(scale.where(scale > 0, 1.0))
    x = f.T[latents].mT.where((value > -torch.inf)[:, None], 0.0)  # [c, n, k]; zeros where no latent is left

    scores = torch.full((3, len(sizes), onehot.shape[1]), torch.nan, dtype=torch.float64, device=codes.device)
    target = torch.stack([~onehot, onehot], dim=2).transpose(0, 1)[known]
    for i, size in enumerate(sizes):
        part = x[known, :, :size]
        W = logistic_regressions(part[:, train], target[:, train].double(), c=c)
        slope = W[..., 1] - W[..., 0]
        logit = (part[:, ~train] @ slope[:, :-1, None])[..., 0] + slope[:, -1:]
        scores[:, i, known] = detection(logit.T, onehot[~train][:, known])
    return SparseProbes(torch.where(value > -torch.inf, latents, -1), *scores)


def detection(logit: Float[Tensor, "n c"], onehot: Bool[Tensor, "n c"]) -> Float[Tensor, "3 c"]:
    """AUC, accuracy and F1 of each column's logits."""
    said = logit > 0
    area = torch.stack([auc(logit[:, [i]], onehot[:, [i]])[0, 0] for i in range(logit.shape[1])])
    f1 = 2 * (said & onehot).sum(0).double() / (said.sum(0) + onehot.sum(0)).clamp(min=1)
    return torch.stack([area, (said == onehot).double().mean(0), f1])
