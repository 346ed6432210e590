"""What many models found of the parts of a sum: sentences and a table."""

from __future__ import annotations

import math

from saelab.plots.read import Row, number
from saelab.report.study_tables import Cell, Table, Tables, unique
from saelab.report.words import MISSING, figure, percent, together

RIVALS = ("principal axes", "lines learned with the truth")
SEEN, UNSEEN = "test", "test_unseen"


def separations(tables: Tables) -> list[str]:
    """Per group, which model's streams are nearest to the components, with seen tags and with unseen ones."""
    said = []
    rows = tables.get("separation", [])
    names = [w for (w,) in unique([row for row in rows if row["kind"] == "sdr"], "what")]
    for (group,) in unique(rows, "group"):
        ours = [row for row in rows if row["group"] == group and row["model"] not in RIVALS]
        models = [m for (m,) in unique(ours, "model")]
        text = []
        for split, which in ((SEEN, "tags that were seen"), (UNSEEN, "tags never seen")):
            scored = {m: score(ours, m, names, split) for m in models}
            scored = {m: value for m, value in scored.items() if not math.isnan(value)}
            if len(scored) > 1:
                best = max(scored, key=lambda m: scored[m])
                each = together(
                    [f"{decibels(find(ours, best, 'sdr', name, split))} dB for the {name}" for name in names]
                )
                text.append(f"with {which} {best} tells the parts apart best, {each}")
        if text:
            told = "; ".join(text)
            said.append(f"{group}: {told}." if group else f"{told[0].upper()}{told[1:]}.")
        said += coded(ours, models, group)
    return said


def coded(rows: list[Row], models: list[str], group: str) -> list[str]:
    """Of models with two codes: what each is told by."""
    told = []
    for model in models:
        parts = []
        for (what,) in unique([row for row in rows if row["kind"] == "raw"], "what"):
            dense, sparse = (number(find(rows, model, code, what, SEEN).get("mean")) for code in ("dense", "sparse"))
            parts.append(f"{what} {percent(dense)} and {percent(sparse)}")
        if parts:
            told.append(f"{model} {together(parts)}")
    head = f"{group}: read" if group else "Read"
    return [f"{head} from the dense and from the sparse code: {'; '.join(told)}."] if told and len(told) < 4 else []


def score(rows: list[Row], model: str, names: list[str], split: str) -> float:
    """The mean SDR over components; one that has no stream is 0 dB."""
    values = [number(find(rows, model, "sdr", name, split).get("mean")) for name in names]
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(names) if known else math.nan


def find(rows: list[Row], model: str, kind: str, what: str, split: str) -> Row:
    """The row of a measure, empty if there is none."""
    at = (model, kind, what, split)
    return next((row for row in rows if (row["model"], row["kind"], row["what"], row["split"]) == at), {})


def decibels(row: Row) -> str:
    mean, low, high = (number(row.get(name)) for name in ("mean", "low", "high"))
    if math.isnan(mean):
        return MISSING
    mean, low, high = (round(value, 1) + 0.0 for value in (mean, low, high))  # no -0.0
    return figure(mean, 1) + ("" if math.isnan(low) else f" ({figure(low, 1)} to {figure(high, 1)})")


def share(row: Row) -> str:
    mean, low, high = (number(row.get(name)) for name in ("mean", "low", "high"))
    return (
        MISSING
        if math.isnan(mean)
        else f"{100 * mean:.1f}" + ("" if math.isnan(low) else f" ± {100 * (high - low) / 2:.1f}")
    )


def separation_table(tables: Tables) -> Table | None:
    """A line per setting: EV, SDR of each component with seen and unseen tags, read-outs from either code."""
    rows = tables.get("separation", [])
    if not rows:
        return None
    names = [w for (w,) in unique([row for row in rows if row["kind"] == "sdr"], "what")]
    families = [w for (w,) in unique([row for row in rows if row["kind"] == "raw"], "what")]
    several = len(unique(rows, "group")) > 1
    head = [*["data"] * several, "model", "EV, %"]
    head += [f"{name}, dB{' unseen' * (split == UNSEEN)}" for name in names for split in (SEEN, UNSEEN)]
    units = {what: "%" if any(r["what"] == what and r["unit"] == "acc" for r in rows) else "R², %" for what in families}
    head += [f"{what} from {code}, {units[what]}" for what in families for code in ("dense", "sparse", "raw")]
    head += ["roles swapped"]
    lines = []
    for group, model in unique(rows, "group", "model"):
        ours = [row for row in rows if row["group"] == group]
        swapped = number(next((r.get("swapped", "") for r in ours if r["model"] == model), ""))
        cells = [*[group] * several, model, share(find(ours, model, "ev", "", SEEN))]
        cells += [decibels(find(ours, model, "sdr", n, split)) for n in names for split in (SEEN, UNSEEN)]
        cells += [share(find(ours, model, c, what, SEEN)) for what in families for c in ("dense", "sparse", "raw")]
        lines.append([Cell(text) for text in [*cells, MISSING if math.isnan(swapped) else percent(swapped)]])
    return Table(1 + several, head, lines)
