"""Variants beside BatchTopK at their own L0, on all measures."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from saelab.plots.dots import dots
from saelab.plots.lines import note
from saelab.plots.read import number, read_rows
from saelab.plots.style import styled


@styled
def matched(folder: Path) -> Figure:
    """From `matched.csv`: each variant's mean difference to BatchTopK's curve, over its settings."""
    rows = [row | {"name": row["line"]} for row in read_rows(folder / "matched.csv") if row["l0"] == "all"]
    measures = list(dict.fromkeys(row["measure"] for row in rows))
    first = {row["name"]: number(row["mean"]) for row in rows if row["measure"] == measures[0]}
    names = sorted(dict.fromkeys(row["name"] for row in rows), key=lambda name: -first.get(name, -99))
    figure = dots(rows, names, measures, columns=4)
    seeds = max(int(float(row["n"])) for row in rows)
    bars = f"mean of {seeds} seeds and 95 % interval (t), which may end outside" if seeds > 1 else "one seed"
    note(figure, f"variant minus batchtopk at the same L0: {bars}; blue: q < 0.05 over all variants and measures")
    return figure
