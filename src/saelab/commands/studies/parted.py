"""Which part of a toy is in which code of which model, over seeds, on every kind of data that was swept."""

from __future__ import annotations

from typing import Any

from saelab.commands.studies.measures import interval
from saelab.commands.studies.points import Points
from saelab.commands.studies.separation import mean, sides

MEASURES = {
    "z_dense": "truth/dense_r2",
    "z_sparse": "truth/z_in_sparse",
    "s_sparse": "truth/s_in_sparse",
    "ap": "truth/matched_ap",
    "mcc": "truth/mcc",
    "ev": "test/ev",
    "l0": "test/l0",
}
RIVALS = {
    "truth/lasso_s_in_sparse": ("true directions, lasso", "s_sparse"),
    "truth/lasso_matched_ap": ("true directions, lasso", "ap"),
    "truth/linear_dense_r2": ("lines learned with the truth", "z_dense"),
    "truth/linear_s_in_sparse": ("lines learned with the truth", "s_sparse"),
    "truth/chance_s_in_sparse": ("random directions", "s_sparse"),
    "truth/chance_matched_ap": ("random directions", "ap"),
}


def parted(found: Points) -> list[dict[str, Any]]:
    """A row per setting and measure, mean and interval over seeds; nothing where the dense part is not known.

    z_dense, z_sparse, s_sparse: R² of lines from the dense code to z, and from the sparse one to z and to s; a model of
    one stream has no z_dense. ap: of matched codes as detectors. mcc, ev, l0: as everywhere.
    group: what a setting is but for its model. Below the models what they are held against: of random directions,
    which are as many and fire as often as a model's own, those that do best.
    """
    if MEASURES["z_sparse"] not in found.metrics:
        return []
    rows, rivals = [], {}
    for point in found.all:
        group, model = sides(point.setting.keys)
        for measure, metric in MEASURES.items():
            values = list(point.by_seed(metric).values())
            if measure == "z_dense" and not any(values):  # one stream: no code to read from
                continue
            rows.append({"group": group, "model": model, "measure": measure, **interval(values)})
        for metric, (rival, measure) in RIVALS.items():
            row = {"group": group, "model": rival, "measure": measure, **interval(list(point.by_seed(metric).values()))}
            rivals[group, rival, measure] = max(row, rivals.get((group, rival, measure), row), key=mean)
    return [row for row in [*rows, *rivals.values()] if row["n"]]
