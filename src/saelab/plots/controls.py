"""What training changes: trained minus untrained at equal width, density and seed."""

from __future__ import annotations

import math
import textwrap
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from saelab.plots.lines import AT_L0, band, colors, legend, marker, note, over, repeats
from saelab.plots.read import column, read_rows
from saelab.plots.settings import scale_of, title
from saelab.plots.style import MUTED, new, styled

LEFT_OUT = ("coverage", "redundancy", "entropy", "acc_recovered")  # in the table, not in the figure


@styled
def controls(folder: Path) -> Figure:
    """From `controls.csv`: a panel per measure, the difference over L0, a line per trained model and control."""
    rows = [row for row in read_rows(folder / "controls.csv") if row["l0"] != "all"]
    rows = [row for row in rows if not row["measure"].endswith(LEFT_OUT)]
    several = len({row["line"] for row in rows}) > 1
    rows = [row | {"name": f"{row['line']} - {row['control']}" if several else f"{row['control']}"} for row in rows]
    names = list(dict.fromkeys(row["name"] for row in rows))
    measures = list(dict.fromkeys(row["measure"] for row in rows))
    lines = math.ceil(len(measures) / 3)
    figure = new(2.15 * lines + 0.5)
    grid = figure.subplots(lines, 3, squeeze=False)
    for ax, measure in zip(grid.flat, measures, strict=False):
        over(ax, column(rows, "l0"), AT_L0)
        factor = scale_of(measure).factor
        for name in names:
            ours = [row for row in rows if row["measure"] == measure and row["name"] == name]
            scaled = [r | {k: str(factor * float(r[k])) for k in ("mean", "low", "high") if r[k]} for r in ours]
            band(ax, scaled, "l0", colors(names)[name], symbol=marker(names, name))
        ax.axhline(0, color=MUTED, linewidth=0.9)
        points = ", points" if factor == 100 else ""
        ax.set_title(textwrap.fill(title(measure) + points, 36), fontsize=9.5)
        ax.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
        ax.yaxis.set_major_formatter(lambda v, _: f"{v:+g}" if v else "0")
    for ax in grid.flat[len(measures) :]:
        ax.set_visible(False)
    for above, below in zip(grid[:-1].flat, grid[1:].flat, strict=True):
        if below.get_visible():
            above.set_xlabel("")
    legend(figure, names)
    note(figure, "; ".join(filter(None, ("trained minus untrained, seed by seed", repeats(rows)))))
    return figure
