"""Concepts that were kept from an SAE for a while, beside the same runs untouched."""

from __future__ import annotations

import math
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

from saelab.analysis.ablation import MEASURES, PHASES
from saelab.commands.studies.measures import against_zero, interval, with_q
from saelab.commands.studies.points import Points, called, seed
from saelab.plots.read import Row, number, read_rows

FILE = "figures/ablation.csv"
UNTOUCHED = "none"
WHO = {"target": "1", "bystanders": "0"}


class Ablated(NamedTuple):
    """A run: what was done, to which concept, all else in which it differs from others, and its table."""

    how: str
    concept: str
    where: str
    seed: str
    table: list[Row]

    def level(self, measure: str, phase: str, who: str) -> float:
        """A measure of the target, or its mean over the other concepts of the family."""
        cells = [r[measure] for r in self.table if (r["phase"], r["target"]) == (phase, WHO[who])]
        known = [number(cell) for cell in cells if math.isfinite(number(cell))]
        return sum(known) / len(known) if known else math.nan


def ablation(found: Points) -> list[dict[str, Any]]:
    """Per setting, way, measure and phase: target and bystanders, and how they differ from the untouched run.

    level, level_low, level_high: mean over seeds, of a seed the mean over its targets.  mean, low, high, p: of the
    difference to the run of the same setting, target and seed with how=none.  who=selectivity: of how much more the
    target lost than the bystanders, which is positive where it did.  q is over the rows of a measure and phase; before
    the beginning all differences are zero.  penalised: the mean number of latents that were.
    """
    runs = ablated(found)
    untouched = {(r.where, r.concept, r.seed): r for r in runs if r.how == UNTOUCHED}
    rows = []
    for measure, phase in product(MEASURES, PHASES):
        family = []
        for where, how in dict.fromkeys((r.where, r.how) for r in runs):
            ours = [r for r in runs if (r.where, r.how) == (where, how)]
            counts = [number(r.table[0].get("penalised")) for r in ours]
            at = {"where": where, "how": how, "penalised": interval(counts)["mean"]}
            family += compared(ours, untouched, at | {"measure": measure, "phase": phase})
        rows += with_q(family)
    return rows


def compared(
    ours: list[Ablated], untouched: dict[tuple[str, str, str], Ablated], at: dict[str, Any]
) -> list[dict[str, Any]]:
    """Target, bystanders, and selectivity."""
    rows, differences, (measure, phase) = [], {}, (at["measure"], at["phase"])
    for who in WHO:
        levels = interval(by_seed([(r.seed, r.level(measure, phase, who)) for r in ours]))
        pairs = [(r, untouched[key]) for r in ours if (key := (r.where, r.concept, r.seed)) in untouched]
        each = [(r.seed, r.level(measure, phase, who) - o.level(measure, phase, who)) for r, o in pairs]
        differences[who] = each
        told = {"level": levels["mean"], "level_low": levels["low"], "level_high": levels["high"]}
        rows.append(at | {"who": who} | told | tested(each, at))
    both = zip(differences["target"], differences["bystanders"], strict=True)
    lost = [(run_seed, other - own) for (run_seed, own), (_, other) in both]
    rows.append(at | {"who": "selectivity"} | tested(lost, at))
    return rows


def tested(differences: list[tuple[str, float]], at: dict[str, Any]) -> dict[str, float]:
    told = against_zero(by_seed(differences))
    known_zero = at["phase"] == "before" or at["how"] == UNTOUCHED
    return told | ({"p": math.nan} if known_zero else {})


def by_seed(values: list[tuple[str, float]]) -> list[float]:
    """The mean over each seed's finite values."""
    found: dict[str, list[float]] = {}
    for name, value in values:
        if math.isfinite(value):
            found.setdefault(name, []).append(value)
    return [sum(each) / len(each) for each in found.values()]


def ablated(found: Points) -> list[Ablated]:
    """The runs that have a table of what an intervention did."""
    runs = []
    for point in found.all:
        others = {k: v for k, v in point.setting.keys.items() if not k.endswith((".how", ".concept")) and v}
        where = ", ".join(called(key, value) for key, value in others.items())
        for row in point.setting.rows:
            file = Path(row["run"]) / FILE
            table = read_rows(file) if file.exists() else []
            if table:
                (name,) = {f"{r['family']}/{r['concept']}" for r in table if r["target"] == "1"}
                runs.append(Ablated(table[0]["how"], name, where, seed(row), table))
    return runs
