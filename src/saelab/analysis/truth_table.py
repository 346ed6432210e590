"""The table and the headline numbers of a comparison with the truth."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from saelab.analysis.truth import (
    Counts,
    Matching,
    cosines,
    f1,
    found,
    match,
    precision,
    random_atoms,
    recall,
    shrinkage,
    targets,
    uniqueness,
)

Row = dict[str, Any]
UNMATCHED = -1


class Directions(NamedTuple):
    """Atoms beside features: all cosines, each latent's nearest feature, the one-to-one matching, and chance's."""

    cos: Float[Tensor, "s t"]
    target: Int[Tensor, " s"]
    own: Matching
    chance: Matching


def directions(atoms: Float[Tensor, "s d"], features: Float[Tensor, "t d"]) -> Directions:
    """`chance` is the matching of as many random unit vectors."""
    cos = cosines(atoms, features)
    return Directions(cos, targets(cos), match(cos), match(cosines(random_atoms(*atoms.shape), features)))


def direction_scores(d: Directions, alive: Bool[Tensor, " s"]) -> dict[str, float]:
    """MCC and what chance has, uniqueness, the share of features that were found."""
    return {
        "mcc": d.own.cos.double().mean().item(),
        "chance_mcc": d.chance.cos.double().mean().item(),
        "uniqueness": uniqueness(d.target, alive),
        "found": found(d.cos, alive),
    }


def detection_scores(c: Counts, auroc: Float[Tensor, " s"]) -> dict[str, float]:
    """Means over all latents of precision, recall and F1, of which a dead one has 0 (SynthSAEBench); the true L0.

    AUROC and shrinkage are means over the latents for which they are defined, nan if there are none.
    """
    return {
        "precision": precision(c).mean().item(),
        "recall": recall(c).mean().item(),
        "f1": f1(c).mean().item(),
        "auroc": auroc.nanmean().item(),
        "shrinkage": shrinkage(c).nanmean().item(),
        "l0": (c.true.sum() / c.rows).item(),
    }


def directions_table(d: Directions, alive: Bool[Tensor, " s"]) -> list[Row]:
    """Per latent: its nearest feature and the signed cosine, its partner in the one-to-one matching, and chance.

    `matched` is -1 for a latent that is left over. `chance_cos` is the |cos| of a random vector in the latent's place.
    """
    nothing = torch.full((len(alive),), torch.nan)
    return rows_of(
        {
            "latent": torch.arange(len(alive)),
            "alive": alive.long(),
            "feature": d.target,
            "cos": d.cos.gather(1, d.target[:, None])[:, 0],
            "matched": torch.full((len(alive),), UNMATCHED).index_put((d.own.latent,), d.own.feature),
            "matched_cos": nothing.index_put((d.own.latent,), d.own.cos),
            "chance_cos": nothing.index_put((d.chance.latent,), d.chance.cos),
        }
    )


def detection_table(c: Counts, target: Int[Tensor, " s"], auroc: Float[Tensor, " s"]) -> list[Row]:
    """Per latent, as a detector of its nearest feature: how often either fires, and the scores."""
    return rows_of(
        {
            "density": c.fired / c.rows,
            "feature_rate": c.true[target] / c.rows,
            "precision": precision(c),
            "recall": recall(c),
            "f1": f1(c),
            "auroc": auroc,
            "shrinkage": shrinkage(c),
        }
    )


def rows_of(columns: dict[str, Tensor]) -> list[Row]:
    values = [column.tolist() for column in columns.values()]
    return [dict(zip(columns, row, strict=True)) for row in zip(*values, strict=True)]
