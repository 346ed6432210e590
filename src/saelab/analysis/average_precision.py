"""Area under the precision-recall curve, for many detectors at once."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def average_precision(codes: Float[Tensor, "n s"], present: Bool[Tensor, "n s"]) -> Float[Tensor, " s"]:
    """Σ_j (R_j − R_{j−1}) P_j over the distinct values of column i of `codes`, from the largest, for `present`'s.

    P_j and R_j are precision and recall of firing from the j-th value on: scikit-learn's definition. A detector that
    says nothing has the rate of what it is to detect; nan for what is never there. Float64.
    """
    value, at = codes.sort(dim=0, descending=True)
    true = present.gather(0, at).double()
    hits = true.cumsum(0)
    rows = torch.arange(1, len(codes) + 1, dtype=torch.float64, device=codes.device)[:, None]
    last = torch.ones_like(present)  # of a run of equal values
    last[:-1] = value[1:] != value[:-1]
    before = torch.where(last, hits, 0.0).cummax(0).values.roll(1, 0)  # hits at the end of the run before
    before[:1] = 0
    area = torch.where(last, (hits - before) * hits / rows, 0.0).sum(0)
    return torch.where(hits[-1] > 0, area / hits[-1], torch.nan)
