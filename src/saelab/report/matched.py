"""Explained variance beside that of BatchTopK at the same L0."""

from __future__ import annotations

import math

import numpy as np

from saelab.plots.read import Row, number

RIVAL = "batchtopk"
COLUMNS = ("matched/ev", "matched/ratio")


def add_matched(rows: list[Row]) -> bool:
    """Give each run `matched/ev`, BatchTopK's EV at the run's own test L0, and `matched/ratio`, its EV over that.

    BatchTopK's curve is the mean over seeds at each of its k, linear in log L0 between them; nothing is said beyond its
    ends. False, and nothing is added, unless the runs hold BatchTopK at two L0s or more and other variants beside it.
    """
    ours = [row for row in rows if row.get("model") == RIVAL]
    l0, ev = curve(ours)
    if len(l0) < 2 or len(ours) == len(rows):
        return False
    for row in rows:
        at = number(row.get("test/l0"))
        inside = at > 0 and l0[0] * 0.99 <= at <= l0[-1] * 1.01
        rival = float(np.interp(math.log(at), np.log(l0), ev)) if inside else math.nan
        row["matched/ev"] = f"{rival:.6g}" if inside else ""
        row["matched/ratio"] = f"{number(row.get('test/ev')) / rival:.6g}" if inside else ""
    return True


def curve(rows: list[Row]) -> tuple[np.ndarray, np.ndarray]:
    """L0 and EV of each setting, means over its seeds, in ascending L0."""
    groups: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        point = number(row.get("test/l0")), number(row.get("test/ev"))
        if all(map(math.isfinite, point)):
            groups.setdefault(row.get("l0", "") or row.get("model.sae.k", ""), []).append(point)
    points = sorted(tuple(np.mean(group, axis=0)) for group in groups.values())
    return np.array([p[0] for p in points]), np.array([p[1] for p in points])
