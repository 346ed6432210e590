"""Does a concept's own latent stay silent where others speak for it? Is the concept split over several?

Feature absorption and splitting of Chanin et al. 2024 (arXiv 2409.14507), as SAEBench (arXiv 2503.09532) counts them.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import normalize

SPLIT = 0.03  # gain in F1 for which one more latent belongs to the concept
SHARE = 0.4  # of a row's projection on the probe that absorbing latents must carry


class Absorption(NamedTuple):
    """Of each row: the share of the concept that others than its main latents carry, and whether one carries it alone.

    by: the latent that does, -1 where none.
    """

    fraction: Float[Tensor, " n"]
    full: Bool[Tensor, " n"]
    by: Int[Tensor, " n"]


def absorption(
    x: Float[Tensor, "n d"],
    codes: Float[Tensor, "n s"],
    atoms: Float[Tensor, "s d"],
    *,
    direction: Float[Tensor, " d"],
    main: Int[Tensor, " k"],
    share: float = SHARE,
    cos: float = 0.1,
    full_cos: float = 0.025,
    absorbers: int = 3,
) -> Absorption:
    """Absorption on rows that have the concept and on which a probe with this direction is right.

    With p the unit direction, a = x · p, and what latent i adds to it, r_i = f_i w_i · p:
    R_main = Σ_main r_i;  R_abs = the `absorbers` largest positive r_i outside main whose atom has cos(w_i, p) >= `cos`.
    fraction = 0 where a <= 0, R_main >= a or R_abs < `share` a; 1 where R_main <= 0; else with
    R = min(R_abs, a - R_main) it is R / (R + R_main).
    full: no main latent fires, a > 0, and the latent of largest r has cos >= `full_cos` and r >= `share` a.

    x: centred as the probe was.  atoms: decoder rows in x's space, of any norm (SAEBench takes them for unit ones).
    """
    p = direction.double() / direction.double().norm()
    W = atoms.double()
    aligned, r, a = normalize(W, dim=1) @ p, codes.double() * (W @ p), x.double() @ p
    is_main = torch.zeros(len(atoms), dtype=torch.bool, device=codes.device).index_fill(0, main, True)

    own = r[:, is_main].sum(1)
    others = r.where(~is_main & (aligned >= cos), 0.0).clamp(min=0)
    others = others.topk(min(absorbers, len(atoms)), dim=1).values.sum(1)
    taken = torch.minimum(others, a - own)
    fraction = torch.where(own <= 0, 1.0, taken / (taken + own))
    fraction = torch.where((a <= 0) | (own >= a) | (others < share * a), 0.0, fraction)

    most, latent = r.max(1)
    silent = (codes[:, is_main] == 0).all(1)
    full = silent & (a > 0) & (aligned[latent] >= full_cos) & (most >= share * a)
    return Absorption(fraction, full, torch.where(full, latent, -1))


def splits(f1: Float[Tensor, "k c"], *, gain: float = SPLIT) -> Int[Tensor, " c"]:
    """Over how many latents each concept is split: how far F1 of the probe on 1, 2, 3, ... latents grows by > `gain`.

    f1: from `sparse_probes` with sizes 1, 2, ..., k. 1 is no splitting; counting stops at the first smaller gain.
    """
    return 1 + (f1.diff(dim=0) > gain).long().cumprod(0).sum(0)
