"""At which sparsity does each concept vanish, and is the order in which they go always the same?"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from saelab.analysis.emergence import concordance, emergence, history
from saelab.commands.studies.measures import interval
from saelab.commands.studies.points import Point, Points, yes
from saelab.commands.studies.sparsity import FEWEST

TIMES = 2000  # random orders that Kendall's W is held against


def survival(found: Points) -> list[dict[str, Any]]:
    """At every setting the share of runs that recover, and that detect, each concept."""
    rows = []
    for line, ours in long(found).items():
        for point in ours:
            runs = list(found.told(point).values())
            for family, names in found.families.items():
                for name in names:
                    cells = [run[family, name] for run in runs]
                    shares = {k: sum(yes(c, k) for c in cells) / len(cells) for k in ("recovered", "detected") if cells}
                    at = {"line": line, "key": found.key, "x": point.x, "l0": point.l0}
                    rows.append({**at, "family": family, "concept": name, **shares, "n": len(cells)})
    return [row for row in rows if row["n"]]


def vanishing(found: Points) -> list[dict[str, Any]]:
    """Of each line and concept the smallest L0 at which it is recovered: geometric mean and interval over seeds.

    ever: of `seeds`, those in which it is recovered at all; the mean is over these.  steady: the L0 from which it is
    recovered at every denser setting, geometric mean over the seeds in which it is so at the densest. The interval ends
    where the line does.
    """
    rows = []
    for line, ours in long(found).items():
        for family, names in found.families.items():
            first, settled = ends(found, ours, family, names)
            for i, name in enumerate(names):
                logs = [math.log(v) for v in first[:, i].tolist() if v > 0]
                steady = [math.log(v) for v in settled[:, i].tolist() if v > 0]
                told = interval(logs)
                told["low"] = within(told["low"], ours)
                told["high"] = within(told["high"], ours)
                rows.append(
                    {"line": line, "family": family, "concept": name}
                    | {key: math.exp(told[old]) for key, old in (("l0", "mean"), ("low", "low"), ("high", "high"))}
                    | {"ever": len(logs), "seeds": len(first)}
                    | {"steady": math.exp(interval(steady)["mean"]), "sparsest": ours[0].l0, "densest": ours[-1].l0}
                )
    return rows


def within(log: float, ours: list[Point]) -> float:
    """A log L0 no lower than that of the sparsest run with active latents, no higher than the densest's."""
    known = [math.log(l0) for p in ours for l0 in p.by_seed("test/l0").values() if l0 > 0]
    return log if math.isnan(log) else min(max(log, min(known)), max(known))


def orders(found: Points) -> list[dict[str, Any]]:
    """How much runs agree on which concepts last: Kendall's W over the seeds of a line, and over all lines' seeds.

    p: the share of random orders, ties kept, that agree as much; chance: their mean W.
    """
    rows = []
    for family, names in found.families.items():
        pooled = []
        for line, ours in long(found).items():
            ranks = ranked(found, ours, family, names)
            pooled.append(ranks)
            rows.append({"line": line, "family": family, **agreed(ranks)})
        if len(pooled) > 1:
            rows.append({"line": "all", "family": family, **agreed(torch.cat(pooled))})
    return [row for row in rows if row["runs"] > 1]


def agreed(ranks: Tensor) -> dict[str, float]:
    """Kendall's W of `[k, c]` ranks beside that of shuffled ones."""
    g = torch.Generator().manual_seed(0)
    w = concordance(ranks)
    drawn = [ranks.gather(1, torch.rand(ranks.shape, generator=g).argsort(1)) for _ in range(TIMES)]
    chance = torch.tensor([concordance(r) for r in drawn])
    p = float((1 + (chance >= w - 1e-9).sum()) / (1 + TIMES)) if math.isfinite(w) else math.nan
    return {"runs": len(ranks), "w": w, "chance": float(chance.mean()), "p": p}


def long(found: Points) -> dict[str, list[Point]]:
    """The lines of at least three settings with concepts."""
    told = {line: [p for p in ours if found.told(p)] for line, ours in found.lines.items()}
    return {line: ours for line, ours in told.items() if len(ours) >= FEWEST}


def ends(found: Points, ours: list[Point], family: str, names: list[str]) -> tuple[Tensor, Tensor]:
    """By seed and concept `[k, c]`, the L0 of the sparsest setting that recovers it, and from which it stays so."""
    first, settled = [], []
    for seed in seeds(found, ours):
        l0 = [told[seed] for told in (p.by_seed("test/l0") for p in ours)]
        e = emergence(course(found, ours, seed, family, names))
        for into, steps in ((first, e.first), (settled, e.settled)):
            into.append([l0[int(s)] if math.isfinite(s) else math.nan for s in steps.tolist()])
    return torch.tensor(first, dtype=torch.float64), torch.tensor(settled, dtype=torch.float64)


def ranked(found: Points, ours: list[Point], family: str, names: list[str]) -> Tensor:
    """By seed `[k, c]`, the concepts' places in the order of the sparsest setting that recovers them."""
    return torch.stack(
        [emergence(course(found, ours, seed, family, names)).rank for seed in seeds(found, ours)]
    ).double()


def course(found: Points, ours: list[Point], seed: str, family: str, names: list[str]) -> Any:
    """Recovered or not, from the sparsest setting (step 0) to the densest."""
    tables = [found.told(point)[seed] for point in ours]
    return history((i, n, yes(table[family, n], "recovered")) for i, table in enumerate(tables) for n in names)


def seeds(found: Points, ours: list[Point]) -> list[str]:
    """The seeds that every setting of a line has."""
    tables = [found.told(point) for point in ours]
    return [seed for seed in tables[0] if all(seed in table for table in tables)]
