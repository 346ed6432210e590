"""The inputs that activate a latent most."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor


class Top(NamedTuple):
    """Per latent the k items of highest activation, best first; item -1 and value 0 where the latent is silent."""

    item: Int[Tensor, "l k"]
    value: Float[Tensor, "l k"]


def top_examples(
    codes: Float[Tensor, "n s"], *, latents: Int[Tensor, " l"], k: int = 9, item: Int[Tensor, " n"] | None = None
) -> Top:
    """The `k` rows on which each of `latents` is largest; only rows where it fires count.

    With `item` (the image that each row comes from) an item appears once, by its strongest row.
    """
    chosen = codes[:, latents]
    ids = torch.arange(len(codes), device=codes.device)
    if item is not None:
        ids, inverse = item.to(codes.device).unique(return_inverse=True)
        strongest = chosen.new_full((len(ids), len(latents)), -torch.inf)
        chosen = strongest.scatter_reduce_(0, inverse[:, None].expand_as(chosen), chosen, "amax")
    value, row = chosen.topk(min(k, len(chosen)), dim=0)
    fires = value > 0
    found = Top(torch.where(fires, ids[row], -1).T, torch.where(fires, value, 0).T)
    missing = k - found.item.shape[1]
    return Top(*(torch.nn.functional.pad(t, (0, missing), value=v) for t, v in zip(found, (-1, 0), strict=True)))
