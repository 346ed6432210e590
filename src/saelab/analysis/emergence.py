"""When are concepts recovered, when lost, and in which order?"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from scipy.stats import rankdata
from torch import Tensor


class History(NamedTuple):
    """Which concepts were recovered at which steps, both in order: of number, and of first appearance."""

    steps: Float[Tensor, " t"]
    concepts: tuple[str, ...]
    recovered: Bool[Tensor, "t c"]


def history(rows: Iterable[tuple[float, str, bool]]) -> History:
    """From rows of (step, concept, recovered), in any order; a step may also be a penalty.

    Errors: ValueError for a pair of step and concept that is missing or given twice.
    """
    table: dict[tuple[float, str], bool] = {}
    for step, concept, recovered in rows:
        if (float(step), concept) in table:
            raise ValueError(f"step {step} of concept {concept!r} is given twice: give each once")
        table[float(step), concept] = bool(recovered)
    steps, concepts = sorted({step for step, _ in table}), tuple(dict.fromkeys(concept for _, concept in table))
    for step in steps:
        for concept in concepts:
            if (step, concept) not in table:
                raise ValueError(f"step {step:g} has no row for concept {concept!r}: give one per step and concept")
    values = [[table[step, concept] for concept in concepts] for step in steps]
    return History(
        torch.tensor(steps, dtype=torch.float64),
        concepts,
        torch.tensor(values, dtype=torch.bool).reshape(len(steps), len(concepts)),
    )


class Emergence(NamedTuple):
    """Of each concept; steps are nan for one that is never recovered, and `settled` for one that is not at the end.

    first, last: steps at which it is recovered.  settled: the step from which it stays so to the end.
    share: of the steps, those at which it is.  lost: how often it is recovered and at the next step not.
    rank: its place in the order of `first`, from 1, equal ones sharing the mean; those never recovered are last.
    """

    first: Float[Tensor, " c"]
    last: Float[Tensor, " c"]
    settled: Float[Tensor, " c"]
    share: Float[Tensor, " c"]
    lost: Float[Tensor, " c"]
    rank: Float[Tensor, " c"]


def emergence(h: History) -> Emergence:
    on, steps = h.recovered, h.steps[:, None]
    ever = on.any(0)
    first = steps.where(on, torch.inf).amin(0)
    stays = on.flip(0).long().cumprod(0).flip(0).bool()
    settled = steps.where(stays, torch.inf).amin(0)
    return Emergence(
        first=torch.where(ever, first, torch.nan),
        last=torch.where(ever, steps.where(on, -torch.inf).amax(0), torch.nan),
        settled=torch.where(settled < torch.inf, settled, torch.nan),
        share=on.double().mean(0),
        lost=(on[:-1] & ~on[1:]).sum(0).double(),
        rank=torch.from_numpy(rankdata(first.numpy())),
    )


def concordance(rank: Float[Tensor, "k c"]) -> float:
    """Kendall's W of k runs' orders of emergence, 1 where they agree, about 1/k by chance, with ties corrected.

    W = (12 Σ_c R_c² - 3 k² c (c + 1)²) / (k² c (c² - 1) - k Σ_runs Σ (t³ - t)), R_c the sum of a concept's ranks, t
    the sizes of ties (Kendall & Babington Smith 1939); nan if no run orders anything.
    """
    k, c = rank.shape
    ties = sum(float((n.double() ** 3 - n).sum()) for n in (row.unique(return_counts=True)[1] for row in rank))
    top = 12 * float(rank.sum(0).square().sum()) - 3 * k**2 * c * (c + 1) ** 2
    bottom = k**2 * c * (c**2 - 1) - k * ties
    return top / bottom if bottom > 0 else float("nan")
