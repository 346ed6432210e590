"""Features in trees: a child fires only where its parent does, and siblings never fire together."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor
from torch.nn.functional import pad

from saelab.data import checks, rng

TINY = 1e-300


class Forest:
    """`trees` complete trees of `branching` children a node and `depth` levels below the root, level after level.

    Level l holds trees · branching^l features; node j of it is a child of node j // branching of the level above. The
    features after the last level are in no tree. On a row where a node fires, at most one of its children does: child c
    with probability q_c, none with 1 - Σ q.
    """

    def __init__(self, *, trees: int, branching: int, depth: int, n_features: int) -> None:
        checks.at_least("trees", trees, 0)
        checks.at_least("branching", branching, 1)
        checks.at_least("depth", depth, 1)
        self.branching = branching
        widths = [trees * branching**level for level in range(depth + 1)] if trees else []
        self.size = sum(widths)
        if self.size > n_features:
            raise ValueError(
                f"trees={trees}, branching={branching}, depth={depth} take {self.size} features, "
                f"but n_features={n_features}; lower them, or raise n_features"
            )
        edges = [0, *torch.tensor(widths).cumsum(0).tolist()] if widths else [0]
        self.levels = [slice(low, high) for low, high in pairwise(edges)]
        self.roots = self.levels[0] if widths else slice(0, 0)

    def conditioned(self, rates: Tensor, childless: float) -> Tensor:
        """q `[n]` of every feature: p_c / max(p_parent, Σ_siblings p / (1 - childless)); 1 for roots and the free.

        So a child fires as often as its rate says, unless siblings together would fire on more than 1 - childless of
        their parent's rows: then they share these in proportion.
        """
        given = torch.ones_like(rates)
        actual = rates.clone()
        for above, level in self.pairs():
            wanted = rates[level].unflatten(0, (-1, self.branching))
            most = wanted.sum(1, keepdim=True) / max(1 - childless, TINY)
            given[level] = (wanted / torch.maximum(actual[above][:, None], most).clamp_min(TINY)).flatten()
            actual[level] = actual[above].repeat_interleave(self.branching) * given[level]
        return given

    def marginal(self, rates: Tensor, given: Tensor) -> Tensor:
        """How often each feature fires, `[n]`: the product of the conditional rates down from its root."""
        actual = rates.clone()
        for above, level in self.pairs():
            actual[level] = actual[above].repeat_interleave(self.branching) * given[level]
        return actual

    def grow_(self, fires: Tensor, given: Tensor, item: Tensor) -> None:
        """Fill in the children in `fires` `[b, n]` bool, whose roots are drawn; `item` `[b]` holds random bits.

        A parent's uniform number u chooses among its children: child c fires where Σ_{i<c} q_i <= u < Σ_{i<=c} q_i.
        """
        for above, level in self.pairs():
            high = given[level].unflatten(0, (-1, self.branching)).cumsum(1)
            low = pad(high[:, :-1], (1, 0))  # the very numbers of `high`: intervals never overlap
            parent = torch.arange(above.start, above.stop, device=item.device)
            u = rng.uniform(rng.bits(rng.key("children"), item[:, None], parent))[..., None]
            chosen = (u >= low) & (u < high) & fires[:, above, None]
            fires[:, level] = chosen.flatten(1)

    def pairs(self) -> list[tuple[slice, slice]]:
        """Each level with the one above it, from the top."""
        return list(pairwise(self.levels))

    def parents(self) -> tuple[Tensor, Tensor]:
        """The features that have a parent, and their parents, from the top: two `[m]`."""
        child, parent = [torch.empty(0, dtype=torch.long)], [torch.empty(0, dtype=torch.long)]
        for above, level in self.pairs():
            child.append(torch.arange(level.start, level.stop))
            parent.append(torch.arange(above.start, above.stop).repeat_interleave(self.branching))
        return torch.cat(child), torch.cat(parent)
