"""What an intervention on one concept did in one run, in a sentence."""

from __future__ import annotations

import math

from saelab.plots.read import Row, number
from saelab.report.facts import Facts
from saelab.report.words import count, percent

WAYS = {
    "none": "Nothing was done to",
    "drop": "Rows were dropped of",
    "down_weight": "Rows weighed less of",
    "class_mean": "The class-mean direction was taken away of",
    "lda": "The LDA direction was taken away of",
    "probe": "A probe's direction was taken away of",
    "penalise": "Pure latents were penalised of",
    "random_rows": "As a control random rows were dropped, as many as of",
    "random_direction": "As a control a random direction was taken away in the place of that of",
}


def ablation(run: Facts) -> str:
    """How far the target's own rows fell beside the others', and whether it came back; one run has no interval."""
    if not run.ablation:
        return ""
    target = next(row for row in run.ablation if row["target"] == "1")
    before, after, end = (level(run.ablation, phase, "1") for phase in ("before", "after", "end"))
    drops = [fall(run.ablation, name) for name in others(run.ablation)]
    more = sum(before - after > drop for drop in drops)
    text = (
        f"{WAYS[target['how']]} {target['family']} “{target['concept']}” from step {count(step(run, 'before'))} to "
        f"{count(step(run, 'after'))}: of its own rows {percent(before)} of the variance was explained before, "
        f"{percent(after)} after, {percent(end)} at the end"
    )
    if run.ablation[0].get("penalised") == "0":
        text += "; no latent was pure for it, so that none was penalised"
    if not drops:
        return text + "."
    verdict = "more than any other" if more == len(drops) else f"more than {more} of {len(drops)} others"
    return f"{text}; it fell {verdict}, which in one run is no proof (by chance: {1 / (len(drops) + 1):.2g})."


def level(rows: list[Row], phase: str, target: str) -> float:
    return next((number(r["ev"]) for r in rows if (r["phase"], r["target"]) == (phase, target)), math.nan)


def others(rows: list[Row]) -> list[str]:
    return list(dict.fromkeys(row["concept"] for row in rows if row["target"] == "0"))


def fall(rows: list[Row], name: str) -> float:
    at = {row["phase"]: number(row["ev"]) for row in rows if row["concept"] == name}
    return at["before"] - at["after"]


def step(run: Facts, phase: str) -> float:
    return next(number(row["step"]) for row in run.ablation if row["phase"] == phase)
