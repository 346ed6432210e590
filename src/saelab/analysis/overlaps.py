"""How many latents do the paths of two concepts, or of two rows, have in common?"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


class ConceptOverlaps(NamedTuple):
    """For pairs of concepts, of the unions N_c of their rows' paths.

    shared: |N_a & N_b|.  jaccard: that over |N_a | N_b|.  fraction: [a, b] that over |N_a|.  unique: [a, b] latents
    of a that b has not.  nan where a union is empty.
    """

    shared: Float[Tensor, "c c"]
    jaccard: Float[Tensor, "c c"]
    fraction: Float[Tensor, "c c"]
    unique: Float[Tensor, "c c"]


def concept_overlaps(paths: Bool[Tensor, "n s"], onehot: Bool[Tensor, "n c"]) -> ConceptOverlaps:
    union = ((onehot.double().T @ paths.double()) > 0).double()
    shared, size = union @ union.T, union.sum(1)
    return ConceptOverlaps(
        shared=shared,
        jaccard=shared / (size[:, None] + size - shared),
        fraction=shared / size[:, None],
        unique=size[:, None] - shared,
    )


def mean_over_pairs(table: Float[Tensor, "c c"]) -> float:
    """Mean over the c (c - 1) / 2 pairs of different concepts for which it is defined, nan if there are none."""
    return float(table[tuple(torch.triu_indices(len(table), len(table), 1))].nanmean())


class PairOverlaps(NamedTuple):
    """|A & B| and |A & B| / |A | B| of pairs of rows' paths."""

    shared: Float[Tensor, " p"]
    jaccard: Float[Tensor, " p"]


def pair_overlaps(
    paths: Bool[Tensor, "n s"], *, pairs: int = 10_000, seed: int = 0, rows: Bool[Tensor, " n"] | None = None
) -> PairOverlaps:
    """Overlaps of `pairs` random pairs of different rows, all or those in `rows` (one class); empty paths are left out.

    Drawn with replacement; no pairs at all if fewer than two rows have a path.
    """
    have = paths.any(1) if rows is None else paths.any(1) & rows
    kept = paths[have]
    if len(kept) < 2:
        return PairOverlaps(torch.empty(0, dtype=torch.float64), torch.empty(0, dtype=torch.float64))
    first, second = different(len(kept), pairs, seed)
    a, b = kept[first], kept[second]
    shared = (a & b).sum(1).double()
    return PairOverlaps(shared, shared / (a | b).sum(1))


def different(n: int, pairs: int, seed: int) -> tuple[Int[Tensor, " p"], Int[Tensor, " p"]]:
    """Random pairs of different numbers below n."""
    g = torch.Generator().manual_seed(seed)
    first = torch.randint(n, (pairs,), generator=g)
    return first, (first + torch.randint(1, n, (pairs,), generator=g)) % n


def overlap_summary(overlaps: PairOverlaps) -> dict[str, float]:
    """Mean, population std, median, minimum and maximum of both; nan without pairs."""
    summary: dict[str, float] = {"pairs": float(len(overlaps.shared))}
    for name, value in overlaps._asdict().items():
        value = value if len(value) else torch.full((1,), torch.nan, dtype=torch.float64)
        statistics = (value.mean(), value.std(correction=0), value.quantile(0.5), value.min(), value.max())
        labels = ("mean", "std", "median", "min", "max")
        summary |= {f"{label}_{name}": float(v) for label, v in zip(labels, statistics, strict=True)}
    return summary
