"""Which part of a toy is in which code of which model: a panel for every kind of data, a row for every model."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from saelab.plots.lines import note
from saelab.plots.read import Row, number, read_rows
from saelab.plots.style import BLUE, FAINT, GREEN, INK, ORANGE, new, styled

SHADES = {
    "z_dense": ("z from the dense code, R²", BLUE, "o"),
    "z_sparse": ("z from the sparse code, R²", ORANGE, "D"),
    "s_sparse": ("s from the sparse code, R²", GREEN, "s"),
    "ap": ("features detected, AP", INK, "|"),
}
COLUMNS = 4


@styled
def parted(folder: Path) -> Figure:
    """From `parted.csv`: shares from 0 to 1 with their intervals; below the models, what they are held against."""
    rows = [row for row in read_rows(folder / "parted.csv") if row["measure"] in SHADES]
    groups = list(dict.fromkeys(row["group"] for row in rows))
    models = in_order(rows)
    columns = min(COLUMNS, len(groups))
    lines = math.ceil(len(groups) / columns)
    figure = new((0.24 * len(models) + 0.55) * lines + 0.5)
    axes = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False)
    for ax, group in zip(axes.flat, groups, strict=False):
        panel(ax, [row for row in rows if row["group"] == group], models)
        ax.set_title(group, fontsize=9)
    for ax in axes.flat[len(groups) :]:
        ax.set_visible(False)
    for ax in axes.flat[max(0, len(groups) - columns) : len(groups)]:
        ax.xaxis.set_tick_params(labelbottom=True)
    for ax in axes[:, 0]:
        ax.set_yticks(np.arange(len(models)), models)
        ax.set_ylim(len(models) - 0.4, -0.6)
        ax.tick_params(axis="y", labelcolor=INK, labelsize=8)
    handles = [
        Line2D([], [], color=color, marker=marker, linestyle="none", markersize=5, markeredgewidth=1.6, label=name)
        for name, color, marker in SHADES.values()
    ]
    figure.legend(handles=handles, loc="outside upper left", ncols=len(handles), frameon=False, fontsize=8.5)
    if any(number(row["n"]) > 1 for row in rows):
        note(figure, "means over seeds with 95 % intervals (t); R² below 0: worse than a constant")
    return figure


def in_order(rows: list[Row]) -> list[str]:
    """Models as they come, but those of every group, then those that only some have."""
    names = list(dict.fromkeys(row["model"] for row in rows))
    last = {name: max(i for i, row in enumerate(rows) if row["model"] == name) for name in names}
    return sorted(names, key=lambda name: last[name])


def panel(ax: Axes, rows: list[Row], models: list[str]) -> None:
    for row in rows:
        _, color, marker = SHADES[row["measure"]]
        y = models.index(row["model"]) + 0.16 * ([*SHADES].index(row["measure"]) - 1.5)
        mean, low, high = (number(row[name]) for name in ("mean", "low", "high"))
        if np.isfinite(low):
            ax.plot([low, high], [y, y], color=color, linewidth=1, alpha=0.8)
        ax.plot(mean, y, marker, color=color, markersize=4, markeredgewidth=1.5 if marker == "|" else 0.5)
    for i in range(1, len(models)):
        ax.axhline(i - 0.5, color=FAINT, linewidth=0.6)
    ax.axvline(0, color=INK, linewidth=0.7)
    ax.set(xlim=(-0.08, 1.06), xticks=(0, 0.25, 0.5, 0.75, 1))
    ax.xaxis.set_major_formatter(lambda v, _: f"{v:g}")
    ax.grid(axis="y", visible=False)
