"""Families of concepts beside each other as codes grow sparser."""

from __future__ import annotations

import textwrap
from pathlib import Path

from matplotlib.figure import Figure

from saelab.plots.lines import AT_L0, band, colors, legend, note, over, repeats
from saelab.plots.read import column, read_rows
from saelab.plots.style import new, styled

HEADINGS = {
    "recovered": "Share of concepts recovered",
    "detected": "Share of concepts detected",
    "best_auc": "AUC of a concept's best latent",
}


@styled
def families(folder: Path) -> Figure:
    """From `families.csv`: a row per variant, the share recovered, detected, and the best latents' AUC over L0."""
    rows = read_rows(folder / "families.csv")
    lines = list(dict.fromkeys(row["line"] for row in rows))
    names = list(dict.fromkeys(row["family"] for row in rows))
    figure = new(1.95 * len(lines) + 0.6)
    grid = figure.subplots(len(lines), len(HEADINGS), sharex=True, squeeze=False)
    floor = min(float(row["mean"]) for row in rows if row["measure"] == "best_auc")
    for i, line in enumerate(lines):
        axes = grid[i]
        for ax, (measure, heading) in zip(axes, HEADINGS.items(), strict=True):
            over(ax, column(rows, "l0"), AT_L0 if i == len(lines) - 1 else "")
            for name in names:
                ours = [r for r in rows if (r["line"], r["measure"], r["family"]) == (line, measure, name)]
                band(ax, ours, "l0", colors(names)[name])
            auc = measure == "best_auc"
            ax.set_ylim(min(0.8, floor - 0.02) if auc else -0.04, 1.01 if auc else 1.04)
            if not auc:
                ax.yaxis.set_major_formatter(lambda v, _: f"{100 * v:.0f} %")
            if i == 0:
                ax.set_title(heading, fontsize=9.5)
        if line:
            axes[0].set_ylabel(textwrap.fill(line, 20), weight="bold", color="black")
    legend(figure, names)
    if text := repeats(rows):
        note(figure, text)
    return figure
