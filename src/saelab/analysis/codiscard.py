"""Which concepts are discarded together, over many runs?"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from scipy.cluster.hierarchy import leaves_list, linkage, optimal_leaf_ordering
from scipy.spatial.distance import squareform
from scipy.stats import false_discovery_control
from torch import Tensor

BLOCK = 2**24  # entries of permuted tables held at a time


def phi(discarded: Bool[Tensor, "r c"]) -> Float[Tensor, "c c"]:
    """Phi coefficient: the correlation over runs of two concepts' discarding; nan for one discarded always or never.

    (r n_ab - n_a n_b) / sqrt(n_a (r - n_a) n_b (r - n_b)), n_ab the runs that discard both (Pearson 1900).
    """
    d, r = discarded.double(), len(discarded)
    n = d.sum(0)
    spread = (n * (r - n)).sqrt()
    return (r * (d.T @ d) - torch.outer(n, n)) / torch.outer(spread, spread)


def jaccard(discarded: Bool[Tensor, "r c"]) -> Float[Tensor, "c c"]:
    """n_ab / (n_a + n_b - n_ab): of the runs that discard either, those that discard both; nan if none does."""
    d = discarded.double()
    both, n = d.T @ d, d.sum(0)
    return both / (n[:, None] + n - both)


class Null(NamedTuple):
    """How often chance discards two concepts together at least, or at most, as often as was seen; nan on the diagonal.

    q: `together` with the false discovery rate controlled over all pairs (Benjamini & Hochberg 1995).
    expected: joint discards on average.
    """

    together: Float[Tensor, "c c"]
    apart: Float[Tensor, "c c"]
    q: Float[Tensor, "c c"]
    expected: Float[Tensor, "c c"]


def permutation_null(
    discarded: Bool[Tensor, "r c"], *, strata: Int[Tensor, " r"] | None = None, times: int = 10_000, seed: int = 0
) -> Null:
    """Permute each concept's runs, within strata, and count joint discards: p = (1 + as extreme) / (1 + times).

    Each concept is discarded in as many runs as it was, so phi and Jaccard grow with the joint count and have these p
    too. strata: runs of the same setting (a sparsity): without them, concepts that all go where little is kept look as
    if they went together.
    """
    d = discarded.double()
    r, c = d.shape
    group = torch.zeros(r, dtype=torch.long) if strata is None else strata.cpu()
    seen = d.T @ d
    g = torch.Generator().manual_seed(seed)
    more, less, total = (torch.zeros(c, c, dtype=torch.float64) for _ in range(3))
    step, left = max(1, BLOCK // (r * c)), times
    while left:
        part = min(step, left)
        left -= part
        shuffle = torch.rand(part, r, c, generator=g, dtype=torch.float64) + group[:, None]  # strata stay together
        drawn = d.cpu().expand(part, r, c).gather(1, shuffle.argsort(dim=1))
        both = drawn.mT @ drawn
        more += (both >= seen.cpu()).sum(0)
        less += (both <= seen.cpu()).sum(0)
        total += both.sum(0)
    diagonal = torch.eye(c, dtype=torch.bool)
    together, apart, expected = (
        t.masked_fill(diagonal, torch.nan) for t in ((1 + more) / (1 + times), (1 + less) / (1 + times), total / times)
    )
    return Null(together, apart, adjusted(together), expected)


def adjusted(p: Float[Tensor, "c c"]) -> Float[Tensor, "c c"]:
    """Benjamini-Hochberg q-values of the pairs above the diagonal, on both sides of it."""
    i, j = torch.triu_indices(len(p), len(p), 1)
    q = torch.full_like(p, torch.nan)
    if len(i):
        q[i, j] = q[j, i] = torch.from_numpy(false_discovery_control(p[i, j].numpy()))
    return q


def clustered_order(similarity: Float[Tensor, "c c"]) -> Int[Tensor, " c"]:
    """The concepts in the leaf order of average linkage on 1 - similarity, like ones side by side (Bar-Joseph 2001).

    Undefined similarities count as 0.
    """
    if len(similarity) < 3:
        return torch.arange(len(similarity))
    distance = (1 - similarity.double().cpu().nan_to_num(nan=0.0)).fill_diagonal_(0).clamp(min=0)
    flat = squareform(((distance + distance.T) / 2).numpy(), checks=False)
    return torch.from_numpy(leaves_list(optimal_leaf_ordering(linkage(flat, "average"), flat))).long()
