"""Families of concepts beside each other as codes grow sparser."""

from __future__ import annotations

import textwrap
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from saelab.plots.lines import AT_L0, band, colors, legend, note, over, repeats
from saelab.plots.read import Row, column, read_rows
from saelab.plots.style import new, styled

HEADINGS = {
    "recovered": "Share of concepts recovered",
    "detected": "Share of concepts detected",
    "best_auc": "AUC of a concept's best latent",
}


@styled
def families(folder: Path) -> Figure:
    """From `families.csv`: the share of each family's concepts that is recovered and detected, over L0.

    A row per line of the sweep, with the best latents' AUC; where lines are pairs of two choices (variants and data),
    a panel per pair.
    """
    rows = read_rows(folder / "families.csv")
    lines = list(dict.fromkeys(row["line"] for row in rows))
    names = list(dict.fromkeys(row["family"] for row in rows))
    figure, how = (by_pair if any(pairs(lines)) else by_line)(rows, lines, names)
    legend(figure, names)
    if text := "; ".join(part for part in (how, repeats(rows)) if part):
        note(figure, text)
    return figure


def by_line(rows: list[Row], lines: list[str], names: list[str]) -> tuple[Figure, str]:
    """A row of panels per line, a column per measure."""
    figure = new(1.95 * len(lines) + 0.6)
    grid = figure.subplots(len(lines), len(HEADINGS), sharex=True, squeeze=False)
    floor = min(float(row["mean"]) for row in rows if row["measure"] == "best_auc")
    for i, line in enumerate(lines):
        axes = grid[i]
        for ax, (measure, heading) in zip(axes, HEADINGS.items(), strict=True):
            over(ax, column(rows, "l0"), AT_L0 if i == len(lines) - 1 else "")
            curves(ax, rows, line, measure, names)
            if measure == "best_auc":
                ax.set_ylim(min(0.8, floor - 0.02), 1.01)
            if i == 0:
                ax.set_title(heading, fontsize=9.5)
        if line:
            axes[0].set_ylabel(textwrap.fill(line, 20), weight="bold", color="black")
    return figure, ""


def by_pair(rows: list[Row], lines: list[str], names: list[str]) -> tuple[Figure, str]:
    """A row of panels per first choice and a column per second; the longer list of choices runs down."""
    first, second = pairs(lines)
    flip = len(second) > len(first)
    down, across = (second, first) if flip else (first, second)
    figure = new(1.6 * len(down) + 0.8)
    grid = figure.subplots(len(down), len(across), sharex=True, sharey=True, squeeze=False)
    for i, a in enumerate(down):
        for j, b in enumerate(across):
            line, ax = ", ".join((b, a) if flip else (a, b)), grid[i, j]
            if line not in lines:
                ax.set_axis_off()
            over(ax, column(rows, "l0"), AT_L0 if i == len(down) - 1 else "")
            curves(ax, rows, line, "detected", names, style="--")
            curves(ax, rows, line, "recovered", names)
            if i == 0:
                ax.set_title(b, fontsize=9.5)
        grid[i, 0].set_ylabel(textwrap.fill(a, 20), weight="bold", color="black")
    return figure, "share of concepts recovered (solid) and detected (dashed)"


def pairs(lines: list[str]) -> tuple[list[str], list[str]]:
    """The two choices that lines named `a, b` are of: at least two of each, and half of all pairs; else nothing."""
    split = [line.split(", ") for line in lines]
    if any(len(parts) != 2 for parts in split):
        return [], []
    first, second = (list(dict.fromkeys(parts[i] for parts in split)) for i in (0, 1))
    many = 2 * len(lines) >= len(first) * len(second) and min(len(first), len(second)) > 1
    return (first, second) if many else ([], [])


def curves(ax: Axes, rows: list[Row], line: str, measure: str, names: list[str], *, style: str = "-") -> None:
    """A measure of every family, over L0."""
    for name in names:
        ours = [r for r in rows if (r["line"], r["measure"], r["family"]) == (line, measure, name)]
        band(ax, ours, "l0", colors(names)[name], style=style)
    if measure != "best_auc":
        ax.set_ylim(-0.04, 1.04)
        ax.yaxis.set_major_formatter(lambda v, _: f"{100 * v:.0f} %")
