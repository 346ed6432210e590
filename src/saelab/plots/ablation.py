"""A concept that was kept from SAEs for a while: what it lost and what came back, beside the others."""

from __future__ import annotations

import textwrap
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from saelab.plots.lines import note, repeats
from saelab.plots.read import Row, column, read_rows
from saelab.plots.style import BLUE, MUTED, ORANGE, names_above, new, styled

PHASES = ("before", "after", "end")
MEASURES = {"best_auc": "best latent's AUC", "ev": "variance explained"}
WHO = {"target": ORANGE, "bystanders": BLUE}
UNTOUCHED = "none"
NARROW = 7  # panels side by side, from which their titles are small


@styled
def ablation(folder: Path) -> Figure:
    """From `ablation.csv`: a panel per way, a row per setting and measure; differences to the untouched run."""
    rows = [row for row in read_rows(folder / "ablation.csv") if row["how"] != UNTOUCHED and row["mean"]]
    wheres, hows = (list(dict.fromkeys(row[name] for row in rows)) for name in ("where", "how"))
    lines = [(where, measure) for where in wheres for measure in MEASURES]
    figure = new(1.35 * len(lines) + 0.95)
    grid = figure.subplots(len(lines), len(hows), sharex=True, sharey="row", squeeze=False)
    for axes, (where, measure) in zip(grid, lines, strict=True):
        for ax, how in zip(axes, hows, strict=True):
            ours = [r for r in rows if (r["where"], r["measure"], r["how"]) == (where, measure, how)]
            panel(ax, ours)
        axes[0].set_ylabel(textwrap.fill(", ".join(filter(None, (where, MEASURES[measure]))), 18), fontsize=8)
    for ax, how in zip(grid[0], hows, strict=True):
        ax.set_title(how.replace("_", "\n" if len(hows) >= NARROW else " "), fontsize=9)
    figure.suptitle(" ")  # room for the line of names
    top = figure.add_subplot(frameon=False, xticks=[], yticks=[])
    top.set_in_layout(False)
    top.set_position((0.02, 0, 0.9, 0.95))
    names_above(top, [("the concept", ORANGE), ("the others of its family, on average", BLUE)])
    scale = "points; the scale is even up to 1, then logarithmic"
    note(
        figure,
        "; ".join(filter(None, (f"minus the same run untouched, in {scale}", repeats(rows).replace("bands", "bars")))),
    )
    return figure


def panel(ax: Axes, rows: list[Row]) -> None:
    """Both differences over the three phases, in points."""
    ax.axhline(0, color=MUTED, linewidth=0.9)
    for i, (who, color) in enumerate(WHO.items()):
        ours = sorted((r for r in rows if r["who"] == who), key=lambda row: PHASES.index(row["phase"]))
        at = np.array([PHASES.index(row["phase"]) for row in ours]) + 0.12 * (2 * i - 1)
        mean, low, high = (100 * column(ours, name) for name in ("mean", "low", "high"))
        ax.plot(at, mean, color=color, marker="o", markersize=3.5, linewidth=1.4)
        ax.vlines(
            at, np.where(np.isfinite(low), low, mean), np.where(np.isfinite(high), high, mean), color, linewidth=1
        )
    ax.set_yscale("symlog", linthresh=1)
    ax.set_yticks([-50, -10, -1, 0, 1, 10], ["-50", "-10", "-1", "0", "+1", "+10"])
    ax.minorticks_off()
    ax.set_xticks(range(3), PHASES, rotation=50, fontsize=7.5)
    ax.set_xlim(-0.4, 2.4)
