"""Did the latents find the true features? For data whose directions and codes are known.

Features are the true directions v_t, rows of a dictionary `[t, d]`. An atom w_i is what latent i adds to a
reconstruction when its code is one: `[s, d]`, in the data's own space. Fires means: is not zero.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.nn.functional import normalize

from saelab.analysis.midranks import mid_ranks, order

FOUND = 0.9  # |cos| from which a feature counts as found: within 26 degrees


def cosines(atoms: Float[Tensor, "s d"], features: Float[Tensor, "t d"]) -> Float[Tensor, "s t"]:
    """cos(w_i, v_t); 0 for a row of zeros."""
    return normalize(atoms, dim=1) @ normalize(features, dim=1).T


class Matching(NamedTuple):
    """The m = min(s, t) pairs of a one-to-one matching of latents and features, by latent; `cos` is |cos|."""

    latent: Int[Tensor, " m"]
    feature: Int[Tensor, " m"]
    cos: Float[Tensor, " m"]


def match(cos: Float[Tensor, "s t"]) -> Matching:
    """The one-to-one matching with the largest Σ |cos| (Hungarian algorithm)."""
    size = cos.abs().cpu()
    latent, feature = (torch.as_tensor(side) for side in linear_sum_assignment(size.numpy(), maximize=True))
    return Matching(latent, feature, size[latent, feature])


def mcc(cos: Float[Tensor, "s t"]) -> float:
    """Mean |cos| over the matched pairs, 1 where each feature (or latent, if they are fewer) has its own.

    The mean correlation coefficient of O'Neill et al. 2024 (arXiv 2411.13117) and SynthSAEBench (arXiv 2602.14687).
    """
    return match(cos).cos.double().mean().item()


def targets(cos: Float[Tensor, "s t"]) -> Int[Tensor, " s"]:
    """The feature nearest to each latent: argmax_t |cos(w_i, v_t)|; several latents may share one."""
    return cos.abs().argmax(1)


def uniqueness(target: Int[Tensor, " s"], alive: Bool[Tensor, " s"]) -> float:
    """Distinct targets of the living latents / living latents; 0 if none lives.

    SynthSAEBench counts dead latents too, which differs where there are any.
    """
    living = target[alive]
    return len(living.unique()) / len(living) if len(living) else 0.0


def found(cos: Float[Tensor, "s t"], alive: Bool[Tensor, " s"]) -> float:
    """The share of features that some living latent points at: max_i |cos| >= FOUND."""
    if not alive.any():
        return 0.0
    return (cos[alive].abs().amax(0) >= FOUND).double().mean().item()


def random_atoms(s: int, d: int, *, seed: int = 0) -> Float[Tensor, "s d"]:
    """Chance: as many unit vectors, uniform on the sphere."""
    return normalize(torch.randn(s, d, generator=torch.Generator().manual_seed(seed)), dim=1)


class Counts(NamedTuple):
    """What the scores of latents as detectors of their targets need; the counts of two parts add to the whole's."""

    rows: Float[Tensor, ""]
    fired: Float[Tensor, " s"]  # rows on which the latent fires
    present: Float[Tensor, " s"]  # rows on which its target fires
    both: Float[Tensor, " s"]
    product: Float[Tensor, " s"]  # Σ r a over rows on which both fire
    square: Float[Tensor, " s"]  # Σ a² over the same
    true: Float[Tensor, " t"]  # rows on which a feature fires


def count(
    part: Float[Tensor, "b s"], fires: Bool[Tensor, "b s"], codes: Float[Tensor, "b t"], target: Int[Tensor, " s"]
) -> Counts:
    """The counts of some rows.

    part: r, how much of its target's unit direction a latent puts into the reconstruction: f_i w_i · v / ‖v‖.
    codes: the true ones, of features of norm one; a is the target's.
    """
    true = codes != 0
    present, a = true[:, target], codes[:, target]
    both = fires & present
    r = torch.where(both, part, 0.0).double()
    a = torch.where(both, a, 0.0).double()
    columns = (fires, present, both, r * a, a.square(), true)
    return Counts(torch.tensor(len(codes)).double(), *(c.sum(0).double() for c in columns))


def add(a: Counts, b: Counts) -> Counts:
    return Counts(*(x + y for x, y in zip(a, b, strict=True)))


def precision(c: Counts) -> Float[Tensor, " s"]:
    """Of the rows on which a latent fires, the share on which its target does; 0 for a dead latent."""
    return c.both / c.fired.clamp_min(1)


def recall(c: Counts) -> Float[Tensor, " s"]:
    """Of the rows on which its target fires, the share on which a latent does; 0 if the target never fires."""
    return c.both / c.present.clamp_min(1)


def f1(c: Counts) -> Float[Tensor, " s"]:
    """2 precision recall / (precision + recall) = 2 both / (fired + present), 0 where never both fire."""
    return 2 * c.both / (c.fired + c.present).clamp_min(1)


def shrinkage(c: Counts) -> Float[Tensor, " s"]:
    """The slope of r against a through the origin, Σ r a / Σ a², over rows on which both fire; nan without any.

    1 means that true amplitudes come back whole, 0.8 that a fifth is missing. SAELens calls the ratio ‖x̂‖ / ‖x‖ so,
    which a wrong latent can hold at 1; this looks at each feature alone.
    """
    return torch.where(c.both > 0, c.product / c.square, torch.nan)


def auroc(codes: Float[Tensor, "n s"], present: Bool[Tensor, "n s"]) -> Float[Tensor, " s"]:
    """Area under the ROC curve of each latent's code for its target, ties one half; nan if that is on always or never.

    Mann-Whitney, as `concepts.auc`, of column i of `codes` for column i of `present`.
    """
    positive, n = present.double().sum(0), len(codes)
    o = order(codes)
    ranks = mid_ranks(o)
    sums = (ranks.zero * positive).index_add(0, o.latent, ranks.lift * present[o.row, o.latent])
    area = (sums - positive.square() / 2) / (positive * (n - positive))
    return torch.where((positive > 0) & (positive < n), area, torch.nan)
