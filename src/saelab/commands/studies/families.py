"""Which family of concepts is lost first as codes grow sparser?"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from saelab.commands.studies.measures import against_zero, interval, with_q
from saelab.commands.studies.points import Point, Points, yes
from saelab.commands.studies.vanishing import long
from saelab.plots.read import number, read_json

KINDS = ("recovered", "detected", "best_auc")


def families(found: Points) -> list[dict[str, Any]]:
    """Of each line, setting and family: the share of concepts recovered, detected, and the mean best latent's AUC.

    base_acc: how often the base network itself is right on the family; nan where nobody counted.
    """
    if len(found.families) < 2:
        return []
    rows = []
    for line, ours in long(found).items():
        for point in ours:
            at = {"line": line, "key": found.key, "x": point.x, "l0": point.l0}
            for family in found.families:
                for what in KINDS:
                    told = interval(list(shares(found, point, family, what).values()))
                    rows.append({**at, "family": family, "measure": what, **told, "base_acc": right(point, family)})
    return [row for row in rows if row["n"]]


def right(point: Point, family: str) -> float:
    """Test accuracy on a family of the network whose activations a setting's SAEs read, mean over the runs."""
    files = [Path(row["run"]) / "run.json" for row in point.setting.rows]
    bases = [read_json(file).get("base", {}) for file in files if file.exists()]
    return interval([number(base.get(f"test/acc_{family}")) for base in bases])["mean"]


def halves(found: Points) -> list[dict[str, Any]]:
    """Of each line: the L0 at which each family's share has fallen to half of its largest, and the families' ratio.

    l0: geometric mean over the seeds in which it falls so far; low, high: its interval.  Rows with `family` as `a / b`
    hold the ratio of two families' L0s over the seeds that have both, above 1 if a is lost first; p is of a ratio of 1.
    """
    if len(found.families) < 2:
        return []
    rows = []
    names = list(found.families)
    for line, ours in long(found).items():
        for what in KINDS[:2]:
            at = {family: half_l0s(found, ours, family, what) for family in names}
            for family, by_seed in at.items():
                logs = [math.log(v) for v in by_seed.values() if math.isfinite(v)]
                top = {"largest": interval(largest(found, ours, family, what))["mean"]}
                told = exponential(interval(logs)) | {"seeds": len(by_seed)}
                rows.append({"line": line, "measure": what, "family": family, **told, **top, "p": math.nan})
            for i, a in enumerate(names):
                for b in names[i + 1 :]:
                    ratios = [math.log(at[a][s] / at[b][s]) for s in at[a] if math.isfinite(at[a][s] / at[b][s])]
                    told = exponential(against_zero(ratios)) | {"seeds": len(at[a])}
                    rows.append({"line": line, "measure": what, "family": f"{a} / {b}", **told})
    return with_q(rows)


def exponential(told: dict[str, float]) -> dict[str, float]:
    """An interval of logarithms as one of L0s."""
    renamed = {"l0": math.exp(told["mean"]), "low": math.exp(told["low"]), "high": math.exp(told["high"])}
    return renamed | {name: value for name, value in told.items() if name in ("n", "p")}


def shares(found: Points, point: Point, family: str, what: str) -> dict[str, float]:
    """By seed, the mean over a family's concepts."""
    names = [(family, name) for name in found.families[family]]
    value = (lambda cell: number(cell.get(what))) if what == "best_auc" else (lambda cell: float(yes(cell, what)))
    return {seed: float(np.mean([value(told[n]) for n in names])) for seed, told in found.told(point).items()}


def half_l0s(found: Points, ours: list[Point], family: str, what: str) -> dict[str, float]:
    """By seed, the L0 at half of the largest share."""
    curves: dict[str, list[tuple[float, float]]] = {}
    for point in ours:
        l0 = point.by_seed("test/l0")
        for seed, share in shares(found, point, family, what).items():
            if l0.get(seed, 0) > 0:
                curves.setdefault(seed, []).append((l0[seed], share))
    return {seed: half(sorted(curve)) for seed, curve in curves.items()}


def largest(found: Points, ours: list[Point], family: str, what: str) -> list[float]:
    """By seed, the largest share."""
    by_seed: dict[str, list[float]] = {}
    for point in ours:
        for seed, share in shares(found, point, family, what).items():
            by_seed.setdefault(seed, []).append(share)
    return [max(values) for values in by_seed.values()]


def half(curve: list[tuple[float, float]]) -> float:
    """From the largest share towards sparser codes, the L0 at which half of it is first reached, linear in log L0.

    nan if it is never reached, or if nothing is ever recovered.
    """
    top = max(range(len(curve)), key=lambda i: curve[i][1])
    goal = curve[top][1] / 2
    for i in range(top - 1, -1, -1):
        (l0, share), (denser, more) = curve[i], curve[i + 1]
        if share <= goal < more:
            weight = (goal - share) / (more - share)
            return math.exp((1 - weight) * math.log(l0) + weight * math.log(denser))
    return math.nan
