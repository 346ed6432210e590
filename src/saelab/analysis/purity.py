"""Of which concepts are the rows on which a latent is strong?"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

KINDS = ("pure", "compositional", "distributed")


class Purity(NamedTuple):
    """Of each latent's band, the rows on which it is at least half as strong as on any: nan where it is empty.

    share: p_c, the concepts' shares of the band's labels.  rows: labels in the band.
    csi: concept selectivity index, (p_max - mean of the p_c below p_max) / p_max; 0 where all are equal.
    entropy: 1 - H(p) / ln c.  gini: Σ p_c².  top2: second largest share over the largest.
    active: concepts with more than a tenth of the band.  kind: index into KINDS, -1 where the band is empty.
    """

    share: Float[Tensor, "s c"]
    rows: Float[Tensor, " s"]
    csi: Float[Tensor, " s"]
    entropy: Float[Tensor, " s"]
    gini: Float[Tensor, " s"]
    top2: Float[Tensor, " s"]
    active: Float[Tensor, " s"]
    kind: Int[Tensor, " s"]


def purity(
    codes: Float[Tensor, "n s"],
    onehot: Bool[Tensor, "n c"],
    *,
    band: float = 0.5,
    pure: float = 0.7,
    compositional: float = 0.3,
    active: float = 0.1,
) -> Purity:
    """Purities of the band {rows: f >= band max f}, over the concepts of its rows; in float64.

    A latent that is nowhere positive has no band, nor has one with a nan: signed codes are looked at one sign at a
    time. A row with several concepts counts for each, a row with none for none.
    kind: pure where csi > `pure`, else compositional where csi > `compositional`, else distributed.
    """
    c = onehot.shape[1]
    if c < 2:
        raise ValueError(f"{c} concept: the purity of a latent needs at least 2 concepts to share its rows")
    top = codes.amax(0)
    count = ((codes >= band * top) & (top > 0)).double().T @ onehot.double()
    rows = count.sum(1)
    p = count / rows[:, None]  # nan where the band is empty
    first, second = p.topk(2, dim=1).values.unbind(1)
    below = p < first[:, None]
    others = (p * below).sum(1) / below.sum(1)
    csi = torch.where(below.any(1) | p.isnan().any(1), (first - others) / first, 0.0)
    return Purity(
        share=p,
        rows=rows,
        csi=csi,
        entropy=1 - torch.special.entr(p).sum(1) / math.log(c),
        gini=p.square().sum(1),
        top2=second / first,
        active=torch.where(rows > 0, (p > active).sum(1).double(), torch.nan),
        kind=torch.where(rows > 0, torch.where(csi > pure, 0, torch.where(csi > compositional, 1, 2)), -1),
    )


def purity_summary(p: Purity) -> dict[str, float]:
    """Counts of each kind and of latents without a band; means over the latents with one, plain and by its rows."""
    scored = p.kind >= 0
    weight = p.rows[scored] / p.rows.sum()
    summary = {name: float((p.kind == i).sum()) for i, name in enumerate(KINDS)} | {"unscored": float((~scored).sum())}
    for name in ("csi", "entropy", "gini", "top2", "active"):
        value = getattr(p, name)[scored]
        summary[f"mean_{name}"] = float(value.mean())
        summary[f"weighted_{name}"] = float((value * weight).sum()) if len(value) else math.nan
    return summary
