"""Which rows a probe trains on, and which it is tested on."""

from __future__ import annotations

import torch
from jaxtyping import Int
from torch import Tensor


def stratified_folds(
    y: Int[Tensor, " n"], *, folds: int, test_fraction: float, seed: int, groups: Tensor | None = None
) -> Int[Tensor, " n"]:
    """Which part each row belongs to: 0..folds-1 of the training part, `folds` for the test part, -1 without a label.

    Rows are dealt like cards: shuffled, sorted by class, every (1/test_fraction)-th to the test part and the others
    round the folds in turn, so every part holds each class in proportion to within one row. With `groups` whole
    groups are dealt, by the class of their first row.
    """
    part = torch.full_like(y, -1)
    labelled = (y >= 0).nonzero().squeeze(1)
    key = torch.arange(len(labelled), device=y.device) if groups is None else groups.to(y.device)[labelled]
    _, group = key.unique(return_inverse=True)
    first = torch.full((int(group.max()) + 1,), len(labelled), device=y.device, dtype=torch.long)
    first.scatter_reduce_(0, group, torch.arange(len(labelled), device=y.device), "amin")

    shuffle = torch.randperm(len(first), generator=torch.Generator().manual_seed(seed)).to(y.device)
    order = shuffle[y[labelled[first[shuffle]]].argsort(stable=True)]
    dealt = torch.arange(len(order) + 1, device=y.device).mul(test_fraction).add(0.5).floor().diff() > 0
    dealt_fold = torch.where(dealt, folds, (~dealt).cumsum(0) % folds)
    part[labelled] = torch.empty_like(first).scatter_(0, order, dealt_fold)[group]
    return part
