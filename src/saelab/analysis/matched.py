"""Each true feature with the latent that a one-to-one matching of directions gives it: nearness and detection."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from saelab.analysis.average_precision import average_precision
from saelab.analysis.truth import Matching, auroc


class Matched(NamedTuple):
    """Per feature; latent -1 and nan for one without a partner, auroc and ap nan where it fires always or never too."""

    rate: Float[Tensor, " t"]  # rows on which the feature fires
    best: Int[Tensor, " t"]  # the latent of the largest |cos|, which several features may share
    best_cos: Float[Tensor, " t"]
    latent: Int[Tensor, " t"]  # its partner
    cos: Float[Tensor, " t"]
    auroc: Float[Tensor, " t"]  # of the partner's code as a detector of the feature
    ap: Float[Tensor, " t"]


def matched(
    f: Float[Tensor, "n s"], codes: Float[Tensor, "n t"], cos: Float[Tensor, "s t"], pairs: Matching
) -> Matched:
    """f: a model's codes; codes: the true ones; a latent that points away from its feature detects it by −f."""
    true, nothing = codes != 0, torch.full((codes.shape[1],), torch.nan, dtype=torch.float64)
    detector = f[:, pairs.latent] * cos[pairs.latent, pairs.feature].sign()
    present = true[:, pairs.feature]
    return Matched(
        rate=true.double().mean(0),
        best=cos.abs().argmax(0),
        best_cos=cos.abs().amax(0).double(),
        latent=torch.full((codes.shape[1],), -1).index_put((pairs.feature,), pairs.latent),
        cos=nothing.index_put((pairs.feature,), pairs.cos.double()),
        auroc=nothing.index_put((pairs.feature,), auroc(detector, present)),
        ap=nothing.index_put((pairs.feature,), average_precision(detector, present)),
    )


def matched_scores(m: Matched) -> dict[str, float]:
    """Means over the features that have the number."""
    return {
        "best_cos": m.best_cos.mean().item(),
        "matched_cos": m.cos.nanmean().item(),
        "matched_auroc": m.auroc.nanmean().item(),
        "matched_ap": m.ap.nanmean().item(),
    }
