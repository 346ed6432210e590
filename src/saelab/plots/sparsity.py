"""What every measure does as codes grow sparser: a panel each, over L0 or over what was swept."""

from __future__ import annotations

import math
import textwrap
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from saelab.plots.lines import AT_L0, band, colors, legend, marker, note, over, repeats
from saelab.plots.read import Row, column, read_rows
from saelab.plots.settings import COUNTS, SHARE, scale_of, title, written
from saelab.plots.style import new, styled

LEFT_OUT = ("coverage", "redundancy", "entropy", "mean_best_auc")  # in the table, not in the figure
SAME = 0.1  # a swept key that is L0 itself, to a tenth, needs no figure of its own


@styled
def over_l0(folder: Path) -> Figure:
    """From `sparsity.csv`, over L0 on a logarithmic axis."""
    rows = shown(folder)
    collapsed = {(row["line"], row["x"]) for row in rows if float(row["l0"]) <= 0}
    said = f"left out: {len(collapsed)} settings without active latents" if collapsed else ""
    return panels(rows, "l0", AT_L0, said)


@styled
def over_key(folder: Path) -> Figure:
    """From `sparsity.csv`, over the swept key."""
    rows = shown(folder)
    return panels(rows, "x", rows[0]["key"].rpartition(".")[2] or rows[0]["key"], "")


def has_key(folder: Path) -> bool:
    """Whether a number was swept that is not L0 itself."""
    rows = read_rows(folder / "sparsity.csv")
    x, l0 = column(rows, "x"), column(rows, "l0")
    known = np.isfinite(x) & (l0 > 0)
    return bool(known.any()) and not (np.abs(x[known] / l0[known] - 1) < SAME).all() and len(set(x[known])) > 2


def shown(folder: Path) -> list[Row]:
    rows = read_rows(folder / "sparsity.csv")
    return [row for row in rows if row["measure"].rpartition("/")[2] not in LEFT_OUT]


def panels(rows: list[Row], x: str, label: str, said: str) -> Figure:
    measures = list(dict.fromkeys(row["measure"] for row in rows))
    names = list(dict.fromkeys(row["line"] for row in rows))
    columns = 3
    lines = math.ceil(len(measures) / columns)
    figure = new(2.25 * lines + 0.5)
    grid = figure.subplots(lines, columns, squeeze=False)
    for ax, measure in zip(grid.flat, measures, strict=False):
        ours = [row for row in rows if row["measure"] == measure]
        over(ax, column(rows, x), label)
        for name in names:
            band(ax, [r for r in ours if r["line"] == name], x, colors(names)[name], symbol=marker(names, name))
        dress(ax, ours, measure)
    for ax in grid.flat[len(measures) :]:
        ax.set_visible(False)
    for above, below in zip(grid[:-1].flat, grid[1:].flat, strict=True):
        if below.get_visible():
            above.set_xlabel("")
    legend(figure, names)
    if text := "; ".join(filter(None, (repeats(rows), said))):
        note(figure, text)
    return figure


def dress(ax: Axes, rows: list[Row], measure: str) -> None:
    """Title, unit, and the range that is possible: a count ends at 0 and at the number of concepts."""
    ax.set_title(textwrap.fill(title(measure), 34), fontsize=9.5)
    ax.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10], integer=measure.endswith(COUNTS)))
    ax.yaxis.set_major_formatter(written(measure))
    mean, most = column(rows, "mean"), column(rows, "of")
    low, high = np.nanmin(mean), np.nanmax(mean)
    if np.isfinite(most).any():
        ax.set_ylim(-0.04 * np.nanmax(most), 1.06 * np.nanmax(most))
    elif scale_of(measure) is SHARE and low >= 0:
        top = 1.04 if high > 0.6 else 1.25 * max(high, 0.02)
        ax.set_ylim(-0.04 * top, top)
    else:
        margin = 0.18 * (high - low) or 0.5
        ax.set_ylim(low - margin, high + margin)
