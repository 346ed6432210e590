"""Differences with their intervals, a row each and a panel per measure: what lies off zero is not by chance."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from saelab.plots.read import Row, column, number
from saelab.plots.settings import scale_of, title
from saelab.plots.style import BLUE, INK, MUTED, new

SIGNIFICANT = 0.05
HEADING = 18  # characters in a panel's title line


def dots(rows: list[Row], names: Sequence[str], measures: Sequence[str], *, columns: int) -> Figure:
    """Rows have `name`, `measure`, `mean`, `low`, `high`, `q`; filled and blue where q < 0.05."""
    lines = math.ceil(len(measures) / columns)
    figure = new((0.23 * len(names) + 0.8) * lines + 0.3)
    grid = figure.subplots(lines, columns, sharey=True, squeeze=False)
    for ax, measure in zip(grid.flat, measures, strict=False):
        panel(ax, [row for row in rows if row["measure"] == measure], names, measure)
    for ax in grid.flat[len(measures) :]:
        ax.set_visible(False)
    for ax in grid[:, 0]:
        ax.set_yticks(range(len(names)), [textwrap.fill(name, 28) for name in names])
        ax.set_ylim(len(names) - 0.5, -0.5)
        ax.tick_params(axis="y", labelcolor=INK, labelsize=8.5)
    return figure


def panel(ax: Axes, rows: list[Row], names: Sequence[str], measure: str) -> None:
    factor = scale_of(measure).factor
    ax.axvline(0, color=MUTED, linewidth=0.9)
    for row in rows:
        y = names.index(row["name"])
        mean, low, high = (factor * number(row[key]) for key in ("mean", "low", "high"))
        sure = number(row["q"]) < SIGNIFICANT
        color = BLUE if sure else MUTED
        if np.isfinite(low):
            ax.plot([low, high], [y, y], color=color, linewidth=1.2)
        ax.plot(mean, y, "o", markersize=4.5, color=color, markerfacecolor=color if sure else "white")
    means = factor * column(rows, "mean")
    ends = np.concatenate([means, factor * column(rows, "low"), factor * column(rows, "high")])
    limit(ax, means, ends[np.isfinite(ends)])
    unit = " (points)" if factor == 100 else ""
    ax.set_title("\n".join(textwrap.wrap(title(measure) + unit, HEADING)), fontsize=8.5)
    ax.xaxis.set_major_locator(MaxNLocator(3, steps=[1, 2, 5, 10]))
    ax.xaxis.set_major_formatter(lambda v, _: f"{v:+g}" if v else "0")
    ax.grid(axis="y", visible=False)
    ax.spines["left"].set_visible(False)


def limit(ax: Axes, means: np.ndarray, ends: np.ndarray) -> None:
    """All means, and of intervals as much as does not squeeze these: three times their range."""
    low, high = min(0.0, np.nanmin(means)), max(0.0, np.nanmax(means))
    room = (high - low) or 1.0
    left, right = max(ends.min(initial=low), low - room), min(ends.max(initial=high), high + room)
    margin = 0.08 * (right - left) or 0.5
    ax.set_xlim(left - margin, right + margin)
