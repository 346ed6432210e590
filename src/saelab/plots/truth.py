"""Latents beside the true features: how near their directions are, and how well they tell when one is there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from saelab.plots.read import Row, column, read_rows
from saelab.plots.style import BLUE, MUTED, ORANGE, label_ends, names_above, new, styled

FOUND = 0.9  # |cos| from which a feature counts as found


@styled
def truth(run: Path) -> Figure:
    """From `figures/truth.csv`: sorted matched cosines beside chance; where codes are known, F1 over firing rate."""
    rows = read_rows(run / "figures/truth.csv")
    known = np.isfinite(column(rows, "f1")).any()
    figure = new(3.3)
    axes = figure.subplots(1, 2 if known else 1, squeeze=False)[0]
    cosines(axes[0], rows)
    if known:
        detection(axes[1], rows)
    return figure


def cosines(ax: Axes, rows: list[Row]) -> None:
    """|cos| of matched pairs from the best to the worst, and that of random directions in the latents' place."""
    ends = []
    for name, label, color in (("chance_cos", "random\ndirections", MUTED), ("matched_cos", "latents", BLUE)):
        values = column(rows, name)
        values = -np.sort(-values[np.isfinite(values)])
        ax.plot(np.arange(1, len(values) + 1), values, color=color)
        ends.append((float(values[-1]), label, color))
    ax.axhline(FOUND, color=MUTED, linewidth=0.7, linestyle=(0, (3, 2)))
    ax.set(ylim=(0, 1.03), xlabel="pairs of a latent and its true feature, nearest first")
    ax.set_title("Cosine with the matched true feature")
    ax.margins(x=0.01)
    label_ends(ax, ends)


def detection(ax: Axes, rows: list[Row]) -> None:
    """A dot for each living latent: how often its nearest feature fires, and the F1 with which the latent tells it."""
    rate, f1, cos = column(rows, "feature_rate"), column(rows, "f1"), np.abs(column(rows, "cos"))
    shown = (column(rows, "alive") > 0) & (rate > 0)
    for near, color in ((False, ORANGE), (True, BLUE)):
        some = shown & ((cos >= FOUND) == near)
        ax.scatter(rate[some], f1[some], s=14, color=color, alpha=0.6, linewidths=0, clip_on=False, zorder=3)
    if shown.any():
        low, high = rate[shown].min(), rate[shown].max()
        if high > 3 * low:
            ax.set_xscale("log")
            ax.xaxis.set_major_formatter(lambda v, _: f"{100 * v:.2g} %")
            ax.set_xlim(0.85 * low, 1.18 * high)
        else:
            ax.xaxis.set_major_formatter(lambda v, _: f"{100 * v:.3g} %")
    ax.set(ylim=(-0.02, 1.03), xlabel="rows on which the true feature fires")
    ax.set_title("F1 of each latent as its detector", pad=22)
    names = [(f"\N{BLACK CIRCLE} cosine at least {FOUND}", BLUE), ("\N{BLACK CIRCLE} less", ORANGE)]
    names_above(ax, names)
