"""Where many models have the parts of a toy: sentences and a table."""

from __future__ import annotations

import math

from saelab.plots.read import Row, number
from saelab.report.study_tables import Cell, Table, Tables, unique
from saelab.report.words import MISSING, figure

RIVALS = ("true directions, lasso", "lines learned with the truth", "random directions")
HEADS = {
    "ev": "EV",
    "l0": "L0",
    "z_dense": "z from the dense code, R²",
    "z_sparse": "z from the sparse code, R²",
    "s_sparse": "s from the sparse code, R²",
    "ap": "AP",
    "mcc": "MCC",
}


def parts(tables: Tables) -> list[str]:
    """Per kind of data: the model of two streams that has most of both parts where they belong, the best of one."""
    said = []
    rows = tables.get("parted", [])
    for (group,) in unique(rows, "group"):
        cells = {(row["model"], row["measure"]): row for row in rows if row["group"] == group}
        models = [m for m in dict.fromkeys(model for model, _ in cells) if m not in RIVALS]
        two = {m: worth(cells, m) for m in models if (m, "z_dense") in cells}
        one = {m: mean(cells, m, "s_sparse") for m in models if m not in two}
        told = []
        if two:
            best = max(two, key=lambda m: two[m])
            z, leak, s = (share(cells, best, name) for name in ("z_dense", "z_sparse", "s_sparse"))
            told.append(f"{best} has {z} of z in its dense code and {leak} in its sparse one, which has {s} of s")
        if one:
            best = max(one, key=lambda m: one[m])
            s, z = (share(cells, best, name) for name in ("s_sparse", "z_sparse"))
            told.append(f"of one stream {best} has most of s, {s}, and {z} of z in the same codes")
        text = "; ".join(told)
        said.append(f"{group}: {text}." if group else f"{text[0].upper()}{text[1:]}.")
    return said


def worth(cells: dict[tuple[str, str], Row], model: str) -> float:
    """The mean share of both parts in the stream that each belongs in."""
    return (mean(cells, model, "z_dense") + mean(cells, model, "s_sparse")) / 2


def mean(cells: dict[tuple[str, str], Row], model: str, measure: str) -> float:
    return number(cells[model, measure]["mean"]) if (model, measure) in cells else math.nan


def share(cells: dict[tuple[str, str], Row], model: str, measure: str, digits: int = 3) -> str:
    """0.957 ± 0.005: half the interval, where there is one."""
    row = cells.get((model, measure), {})
    value, low, high = (number(row.get(name)) for name in ("mean", "low", "high"))
    if math.isnan(value):
        return MISSING
    return figure(value, digits) + ("" if math.isnan(low) else f" ± {figure((high - low) / 2, digits)}")


def parted_table(tables: Tables) -> Table | None:
    """A line per kind of data and model, what they are held against last."""
    rows = tables.get("parted", [])
    if not rows:
        return None
    several = len(unique(rows, "group")) > 1
    lines = []
    for (group,) in unique(rows, "group"):
        ours = [row for row in rows if row["group"] == group]
        cells = {(row["model"], row["measure"]): row for row in ours}
        for (model,) in unique(ours, "model"):
            values = [share(cells, model, name, 1 if name == "l0" else 3) for name in HEADS]
            lines.append([Cell(text) for text in [*[group] * several, model, *values]])
    return Table(1 + several, [*["data"] * several, "model", *HEADS.values()], lines)
