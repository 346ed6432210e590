"""Every variant beside BatchTopK at the variant's own L0, on all measures."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from saelab.commands.studies.measures import against_zero, measures, with_q
from saelab.commands.studies.points import Point, Points
from saelab.report.matched import RIVAL


def matched(found: Points) -> list[dict[str, Any]]:
    """Variant minus BatchTopK, seed by seed, a row per setting and measure, and per variant over its settings.

    BatchTopK's value is read off the seed's own curve at the L0 of the variant's run, linear in log L0; beyond the
    ends of that curve nothing is said.
    """
    rival = [p for p in found.all if p.setting.keys.get("model") == RIVAL]
    others = [p for p in found.all if p not in rival and p.setting.keys.get("model")]
    if len(rival) < 2 or not others or not found.concepts:
        return []
    rows = []
    for measure in measures(found.metrics):
        curves = by_seed(rival, measure)
        for line in dict.fromkeys(p.line for p in others):
            over: dict[str, list[tuple[float, float]]] = {}
            for point in (p for p in others if p.line == line):
                ours = beside(point, measure, curves)
                for seed, pair in ours.items():
                    over.setdefault(seed, []).append(pair)
                rows.append(told(line, measure, point.l0, list(ours.values())))
            means = [(mean([a for a, _ in v]), mean([b for _, b in v])) for v in over.values()]
            rows.append(told(line, measure, "all", means))
    return with_q([row for row in rows if row["n"]])


def told(line: str, measure: str, l0: float | str, pairs: list[tuple[float, float]]) -> dict[str, Any]:
    means = {"value": mean([a for a, _ in pairs]), "rival": mean([b for _, b in pairs])}
    return {"line": line, "measure": measure, "l0": l0, **means, **against_zero([a - b for a, b in pairs])}


def mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else math.nan


def by_seed(rival: list[Point], measure: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """A curve of log L0 and the measure for each seed of BatchTopK."""
    found: dict[str, list[tuple[float, float]]] = {}
    for point in rival:
        l0 = point.by_seed("test/l0")
        for seed, value in point.by_seed(measure).items():
            if l0.get(seed, 0) > 0:
                found.setdefault(seed, []).append((math.log(l0[seed]), value))
    sides = {seed: np.array(sorted(curve)).T for seed, curve in found.items() if len(curve) > 1}
    return {seed: (x, y) for seed, (x, y) in sides.items()}


def beside(
    point: Point, measure: str, curves: dict[str, tuple[np.ndarray, np.ndarray]]
) -> dict[str, tuple[float, float]]:
    """By seed the variant's value and BatchTopK's at that L0."""
    l0, found = point.by_seed("test/l0"), {}
    for seed, value in point.by_seed(measure).items():
        x, y = curves.get(seed, (np.empty(0), np.empty(0)))
        at = math.log(l0[seed]) if l0.get(seed, 0) > 0 else math.nan
        if len(x) and x[0] - 0.02 <= at <= x[-1] + 0.02:
            found[seed] = (value, float(np.interp(at, x, y)))
    return found
