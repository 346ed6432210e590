"""How all measures move with sparsity, and whether concepts go all at once."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

from saelab.commands.studies.measures import interval, measures
from saelab.commands.studies.points import Points

FEWEST = 3  # settings that make a line


def sparsity(found: Points) -> list[dict[str, Any]]:
    """Mean and interval over seeds of every measure at every setting of the lines that have concepts."""
    if not found.concepts or max((len(line) for line in found.lines.values()), default=0) < FEWEST:
        return []
    size = {family: len(names) for family, names in found.families.items()}
    rows = []
    for point in found.all:
        at = {"line": point.line, "key": found.key, "x": point.x, "l0": point.l0}
        for name in measures(found.metrics):
            of = size.get(name.split("/")[1], "") if name.endswith(("/recovered", "/detected", "/coverage")) else ""
            rows.append({**at, "measure": name, **interval(list(point.by_seed(name).values())), "of": of})
    return [row for row in rows if row["n"]]


def cliffs(found: Points) -> list[dict[str, Any]]:
    """Of each line and family, the largest loss of recovered concepts from one grid point to the next sparser one.

    A cliff loses more than half of the family's concepts in that step; `low` and `high` are of the loss, over seeds.
    """
    rows = []
    for family, names in found.families.items():
        for line, ours in found.lines.items():
            steps = []
            for sparse, dense in pairwise(ours):
                less, more = (p.by_seed(f"concepts/{family}/recovered") for p in (sparse, dense))
                both = [seed for seed in more if seed in less]
                if both and sparse.l0 < dense.l0:
                    lost = interval([more[s] - less[s] for s in both])
                    ends = {"from_l0": dense.l0, "to_l0": sparse.l0, "from_x": dense.x, "to_x": sparse.x}
                    levels = {f"{n}": sum(v[s] for s in both) / len(both) for n, v in (("from", more), ("to", less))}
                    steps.append({**ends, **levels, "loss": lost.pop("mean"), **lost})
            if len(steps) >= FEWEST - 1:
                worst = max(steps, key=lambda step: step["loss"])
                cliff = worst["loss"] > len(names) / 2
                sure = cliff and math.isfinite(worst["low"]) and worst["low"] > len(names) / 2
                rows.append(
                    {"line": line, "family": family, "of": len(names), "key": found.key}
                    | {**worst, "cliff": cliff, "sure": sure}
                )
    return rows
