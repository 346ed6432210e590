"""A part of a batch, after it was encoded whole."""

from __future__ import annotations

import torch
from jaxtyping import Bool
from torch import Tensor

from saelab.kernels import Support
from saelab.sae.step import Dense, Step


def rows_of(s: Step, chosen: Bool[Tensor, " b"]) -> Step:
    """What a step says of some rows: the terms of a loss are then means over these.

    Codes stay what they are in the whole batch, also where they are chosen over all of it.
    """
    levels = tuple(level[chosen] for level in s.levels)
    part = s._replace(
        x=s.x[chosen],
        y=s.y[chosen],
        y_hat=levels[-1] if levels else s.y_hat[chosen],
        dense=None if s.dense is None else Dense(*(None if t is None else t[chosen] for t in s.dense)),  # type: ignore[arg-type]
        levels=levels,
        errors=(),
        sums=None,
    )
    if s.where is None:
        return part._replace(pre=s.pre[chosen], f=s.f[chosen])
    kept = chosen[s.where.row]
    offsets = torch.nn.functional.pad(s.where.offsets.diff()[chosen].cumsum(0), (1, 0))
    where = Support(s.where.latent[kept], offsets, s.where.width)
    return part._replace(pre=s.pre[kept], f=s.f[kept], where=where)
