"""What an intervention on one concept did to it and to the others, and what came back."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

MEASURES = ("best_auc", "probe_auc", "ev", "recovered")
PHASES = ("before", "after", "end")
Row = dict[str, Any]


def ablation_rows(looks: Iterable[Mapping[str, Any]], *, concept: str, steps: Mapping[str, int]) -> list[Row]:
    """What a run's looks say at the steps of the phases: a row per phase and concept of the target's family.

    `steps` has the step of each phase: `before`, `after` the intervention, and at the `end` of training.
    """
    family, _, name = concept.partition("/")
    by_step: dict[int, list[Mapping[str, Any]]] = {}
    for look in looks:
        if look["family"] == family:
            by_step.setdefault(int(look["step"]), []).append(look)
    return [
        {"phase": phase, "step": step, "target": int(look["concept"] == name)}
        | {key: look[key] for key in look if key not in ("step", "epoch")}
        for phase, step in steps.items()
        for look in by_step[step]
    ]


def ablation_metrics(rows: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """Of each measure m, what the target lost and what bystanders, the other concepts of its family, lost:

    target_drop: m before − m after.  bystander_drop: the mean of theirs.  selectivity: target_drop − bystander_drop.
    recovery: (m at the end − m after) / target_drop, where something was lost: 1 if all of it is back.

    As `<m>/<name>`; what is not defined is left out. Training goes on meanwhile, so that a run of its own tells little:
    the same run without an intervention is what these are held against.
    """
    at: dict[tuple[str, int], list[Mapping[str, Any]]] = {}
    for row in rows:
        at.setdefault((row["phase"], int(row["target"])), []).append(row)
    found = {}
    for m in MEASURES:
        level = {key: mean([number(row[m]) for row in ours]) for key, ours in at.items()}
        drop = {who: level["before", who] - level["after", who] for who in (0, 1) if ("before", who) in level}
        told = {"target_drop": drop[1]}
        if 0 in drop:
            told |= {"bystander_drop": drop[0], "selectivity": drop[1] - drop[0]}
        if drop[1] > 0:
            told["recovery"] = (level["end", 1] - level["after", 1]) / drop[1]
        found |= {f"{m}/{name}": value for name, value in told.items() if math.isfinite(value)}
    return found


def mean(values: list[float]) -> float:
    known = [value for value in values if math.isfinite(value)]
    return sum(known) / len(known) if known else math.nan


def number(cell: Any) -> float:
    """A cell of a table; nan where it is empty."""
    return math.nan if cell == "" else float(cell)
