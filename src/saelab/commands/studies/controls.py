"""Trained SAEs beside untrained ones of the same width, density and seed."""

from __future__ import annotations

import math
from typing import Any

from saelab.commands.studies.measures import against_zero, interval, measures, with_q
from saelab.commands.studies.points import Point, Points, called, control

NEAR = math.log(1.15)  # L0s that count as equal: within 15 %


def controls(found: Points) -> list[dict[str, Any]]:
    """Trained minus control of every measure, a row per trained setting, control and measure, and `l0="all"`.

    A trained setting is paired with the setting of each kind of control that equals it in all keys both have but the
    model, and is nearest in L0, if within 15 %; then seed with seed. Of `all`, a seed's difference is its mean over
    the settings of its line.
    """
    untrained = [p for p in found.all if control(p.setting)]
    trained = [p for p in found.all if not control(p.setting)]
    rows = []
    kinds = dict.fromkeys(kind(p, trained) for p in untrained)
    for name in kinds:
        ours = [p for p in untrained if kind(p, trained) == name]
        for line in dict.fromkeys(p.line for p in trained):
            pairs = [(t, r) for t in trained if t.line == line and (r := partner(t, ours)) is not None]
            for measure in measures(found.metrics) if pairs else []:
                rows += compared(measure, pairs, {"line": line, "control": name})
    return with_q(rows)


def compared(measure: str, pairs: list[tuple[Point, Point]], at: dict[str, Any]) -> list[dict[str, Any]]:
    """A row per pair of settings, and one over all."""
    rows, mean_of = [], {}
    for trained, random in pairs:
        a, b = trained.by_seed(measure), random.by_seed(measure)
        both = [seed for seed in a if seed in b]
        for seed in both:
            mean_of.setdefault(seed, []).append((a[seed], b[seed]))
        where = {"l0": trained.l0, "control_l0": random.l0, "measure": measure}
        rows.append(at | where | difference([(a[s], b[s]) for s in both]))
    over = [tuple(sum(side) / len(side) for side in zip(*values, strict=True)) for values in mean_of.values()]
    return [row for row in [*rows, at | {"l0": "all", "measure": measure} | difference(over)] if row["n"]]


def difference(values: list[tuple[float, ...]]) -> dict[str, float]:
    a, b = ([pair[i] for pair in values] for i in (0, 1))
    means = {"trained": interval(a)["mean"], "untrained": interval(b)["mean"]}
    return means | against_zero([x - y for x, y in zip(a, b, strict=True)])


def partner(trained: Point, untrained: list[Point]) -> Point | None:
    """The control nearest in L0 that differs in nothing else; None if there is none so near."""
    if not trained.l0 > 0:
        return None
    like = [p for p in untrained if p.l0 > 0 and same(trained, p) and abs(math.log(p.l0 / trained.l0)) <= NEAR]
    return min(like, key=lambda p: abs(math.log(p.l0 / trained.l0)), default=None)


def same(a: Point, b: Point) -> bool:
    """Whether two settings share the value of every key that both have, but which model they are."""
    keys = [k for k, v in a.setting.keys.items() if v and b.setting.keys[k] and not of_model(k)]
    return all(a.setting.keys[k] == b.setting.keys[k] for k in keys)


def of_model(key: str) -> bool:
    return key == "model" or key.endswith("_target_")


def kind(point: Point, trained: list[Point]) -> str:
    """What a control is called: its model, and the settings that no trained one has."""
    own = {
        k: v
        for k, v in point.setting.keys.items()
        if v and (of_model(k) or not any(t.setting.keys[k] for t in trained))
    }
    return ", ".join(called(k, v) for k, v in own.items())
