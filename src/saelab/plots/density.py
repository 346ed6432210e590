"""How often latents fire."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from saelab.plots.read import column, read_rows
from saelab.plots.style import BLUE, INK, MUTED, ORANGE, PAPER, new, styled


@styled
def density(run: Path) -> Figure:
    """From `figures/density.csv`: a histogram of log10 firing frequency, and dead latents as a bar of their own."""
    values = column(read_rows(run / "figures/density.csv"), "density")
    alive = np.log10(values[values > 0])
    dead = int((values == 0).sum())
    lowest = np.floor(alive.min() * 2) / 2 if len(alive) else -4.0
    edges = np.linspace(lowest, 0, int(-lowest * 6) + 1) if lowest < 0 else np.array([-0.5, 0.0])
    count, _ = np.histogram(alive, edges)
    width = edges[1] - edges[0]
    top = max(1.0, count.max(initial=0), min(dead, 1.3 * count.max(initial=0)) if len(alive) else dead)

    figure = new(2.5)
    ax = figure.subplots()
    ax.bar(edges[:-1], count, width=width * 0.92, align="edge", color=BLUE)
    grave = edges[0] - 3 * width
    dead_bar(ax, grave, dead, width=width * 1.4, top=top)
    if len(alive):
        median = float(np.median(alive))
        ax.axvline(median, color=INK, linewidth=0.8, linestyle=(0, (3, 2)), ymax=0.93)
        ax.text(median, top * 1.12, f" {len(alive)} alive, median {frequency(median)}", color=INK, va="center")
        busy = int((values > 0.5).sum())
        if busy:
            ax.text(0, top * 1.12, f"{busy} on more than half of the rows", ha="right", va="center", color=MUTED)
    ax.set_ylim(0, top * 1.22)
    ticks = np.arange(np.ceil(lowest), 1)
    ax.set_xticks([grave, *ticks], ["never", *(frequency(t) for t in ticks)])
    ax.set_xlim(grave - 2 * width, width / 2)
    ax.grid(axis="x", visible=False)
    ax.set(xlabel="rows on which a latent fires (log scale)", ylabel="latents", title="Firing frequency of the latents")
    return figure


def dead_bar(ax: Axes, at: float, dead: int, *, width: float, top: float) -> None:
    """The dead latents; a bar that would dwarf the histogram is cut, with a gap to say so."""
    ax.bar([at], [min(dead, top)], width=width, color=ORANGE)
    if dead > top:
        ax.bar([at], [top * 0.05], width=width * 1.3, bottom=[top * 0.78], color=PAPER)
    ax.text(at, min(dead, top) + top * 0.03, f"{dead} dead", ha="center", color=ORANGE, weight="bold")


def frequency(log10: float) -> str:
    """A frequency in words: 3 %, 1 in 2000."""
    share = 10**log10
    return f"{float(f'{100 * share:.2g}'):g} %" if share >= 0.0095 else f"1 in {float(f'{1 / share:.1g}'):,.0f}"
