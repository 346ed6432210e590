"""What is left of each concept in an SAE: its own rows, its latents, all codes together."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from saelab.analysis.concept_scores import Scored
from saelab.analysis.concepts import auc
from saelab.analysis.selectivity import PURE, assign

RIDGE = 0.1  # of the mean squared length of a centred code


def retention(
    scored: Mapping[str, Scored],
    labels: Mapping[str, Tensor],
    y: Float[Tensor, "n o"],
    y_hat: Float[Tensor, "n o"],
    *,
    pure: float = PURE,
) -> dict[tuple[str, str], dict[str, float]]:
    """Of each concept, by family and class:

    pure: how many latents stand for it and for no other.
    ev: 1 − Σ‖y − ŷ‖² / Σ‖y − ȳ‖² over its own rows, ȳ the mean of all rows; nan if it has none.
    probe_auc: held-out AUC of a ridge regression on all codes; see `readout`.
    """
    error, around = (y - y_hat).double().square().sum(1), (y - y.mean(0)).double().square().sum(1)
    found = {}
    for family, s in scored.items():
        a, probed = assign(s.scores, pure=pure), readout(s.codes, s.onehot, train=s.train)
        count = torch.bincount(a.concept[a.pure], minlength=len(s.classes))
        for i, name in enumerate(s.classes):
            own = (labels[family] == i).to(error.device)
            told = {"pure": int(count[i]), "ev": float(1 - error[own].sum() / around[own].sum())}
            found[family, name] = told | {"probe_auc": float(probed[i])}
    return found


def readout(
    codes: Float[Tensor, "n s"], onehot: Bool[Tensor, "n c"], *, train: Bool[Tensor, " n"]
) -> Float[Tensor, " c"]:
    """Held-out AUC of f w_c + b_c, with w = argmin ‖Y − F W‖² + λ ‖W‖² on the centred rows of the training half.

    λ = 0.1 E‖f − f̄‖². W = Fᵀ (F Fᵀ + λ I)⁻¹ Y, or (FᵀF + λ I)⁻¹ FᵀY where latents are fewer than rows. In float64.
    """
    f, target = codes[train].double(), onehot[train].double()
    mean = f.mean(0)
    f, target = f - mean, target - target.mean(0)
    dual = len(f) <= f.shape[1]
    gram = f @ f.T if dual else f.T @ f
    gram.diagonal().add_(RIDGE * f.square().sum(1).mean() + 1e-12)
    solved = torch.cholesky_solve(target if dual else f.T @ target, torch.linalg.cholesky(gram))
    W = f.T @ solved if dual else solved
    return auc((codes[~train].double() - mean) @ W, onehot[~train]).diagonal()
